//! Schedules that somebody searched for and published as numbers.

/// Falling levels for one kind of model; the last one stands in for 0.
pub struct Table {
    pub model_type: &'static str,
    levels: &'static [f64],
}

/// Sabour et al. 2024, "Align your steps", from the authors' quick start guide.
pub const ALIGN_YOUR_STEPS: &[Table] = &[
    Table {
        model_type: "SD1",
        levels: &[
            14.6146412293,
            6.4745760956,
            3.8636745985,
            2.6946151520,
            1.8841921177,
            1.3943805092,
            0.9642583904,
            0.6523686016,
            0.3977456272,
            0.1515232662,
            0.0291671582,
        ],
    },
    Table {
        model_type: "SDXL",
        levels: &[
            14.6146412293,
            6.3184485287,
            3.7681790315,
            2.1811480769,
            1.3405244945,
            0.8620721141,
            0.5550693289,
            0.3798540708,
            0.2332364134,
            0.1114188177,
            0.0291671582,
        ],
    },
    Table {
        model_type: "SVD",
        levels: &[700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002],
    },
];

/// Pei et al. 2025, "Optimal stepsize for diffusion sampling", for flow models.
pub const OPTIMAL_STEPS: &[Table] = &[
    Table {
        model_type: "FLUX",
        levels: &[
            0.9968, 0.9886, 0.9819, 0.975, 0.966, 0.9471, 0.9158, 0.8287, 0.5512, 0.2808, 0.001,
        ],
    },
    Table {
        model_type: "Wan",
        levels: &[
            1.0, 0.997, 0.995, 0.993, 0.991, 0.989, 0.987, 0.985, 0.98, 0.975, 0.973, 0.968, 0.96,
            0.946, 0.927, 0.902, 0.864, 0.776, 0.539, 0.208, 0.001,
        ],
    },
    Table {
        model_type: "Chroma",
        levels: &[
            0.992, 0.99, 0.988, 0.985, 0.982, 0.978, 0.973, 0.968, 0.961, 0.953, 0.943, 0.931,
            0.917, 0.9, 0.881, 0.858, 0.832, 0.802, 0.769, 0.731, 0.69, 0.646, 0.599, 0.55, 0.501,
            0.451, 0.402, 0.355, 0.311, 0.27, 0.232, 0.199, 0.169, 0.143, 0.12, 0.101, 0.084, 0.07,
            0.058, 0.048, 0.001,
        ],
    },
];

impl Table {
    /// The last part (0..=1) of a schedule of so many steps, ending in 0. Other numbers of steps
    /// than the table's lie between its levels by the logarithm.
    pub fn sigmas(&self, steps: usize, denoise: f64) -> Vec<f32> {
        if denoise <= 0.0 {
            return Vec::new();
        }
        let taken = (steps as f64 * denoise).round_ties_even() as usize;
        let mut sigmas: Vec<f32> =
            (steps - taken..=steps).map(|i| self.level(i, steps) as f32).collect();
        sigmas[taken] = 0.0;
        sigmas
    }

    /// Number `i` of a schedule of so many steps.
    fn level(&self, i: usize, steps: usize) -> f64 {
        let last = self.levels.len() - 1;
        let place = (i * last) as f64 / steps as f64;
        let low = (place as usize).min(last - 1);
        let (a, b) = (self.levels[low], self.levels[low + 1]);
        let part = place - low as f64;
        if part == 0.0 { a } else { (a.ln() + (b.ln() - a.ln()) * part).exp() }
    }
}
