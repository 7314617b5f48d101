//! What networks that read a picture add inside a UNet.

/// What is added inside a UNet, by networks that read a picture: channels last, for a whole batch.
#[derive(Clone, Debug, Default)]
pub struct Residuals {
    /// By input block: to what it makes.
    pub input: Vec<Option<Vec<f32>>>,
    pub middle: Option<Vec<f32>>,
    /// By input block: to what it hands to its output block, and to nothing else.
    pub skips: Vec<Option<Vec<f32>>>,
}

/// Where residuals are added; a bit for each input block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Controlled {
    pub input: u64,
    pub middle: bool,
    pub skips: u64,
}

impl Residuals {
    /// Those for a UNet of so many input blocks: a network of a larger family may give more.
    pub(crate) fn places(&self, blocks: usize) -> Controlled {
        let bits = |of: &[Option<Vec<f32>>]| {
            let given = of.iter().take(blocks).enumerate().filter(|(_, r)| r.is_some());
            given.fold(0, |bits, (i, _)| bits | 1 << i)
        };
        let (input, skips) = (bits(&self.input), bits(&self.skips));
        Controlled { input, middle: self.middle.is_some(), skips }
    }

    /// In the order of recording.
    pub(crate) fn given(&self, blocks: usize) -> Vec<&[f32]> {
        let by_block = (0..blocks).flat_map(|i| [self.input.get(i), self.skips.get(i)]);
        let by_block = by_block.flatten().chain([&self.middle]);
        by_block.filter_map(Option::as_deref).collect()
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        let add = |a: Option<Vec<f32>>, b: Option<Vec<f32>>| match (a, b) {
            (Some(mut a), Some(b)) => {
                a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
                Some(a)
            }
            (a, b) => a.or(b),
        };
        let lists = |a: Vec<Option<Vec<f32>>>, b: Vec<Option<Vec<f32>>>| {
            let len = a.len().max(b.len());
            let (mut a, mut b) = (a.into_iter(), b.into_iter());
            (0..len).map(|_| add(a.next().flatten(), b.next().flatten())).collect()
        };
        self.input = lists(self.input, other.input);
        self.middle = add(self.middle, other.middle);
        self.skips = lists(self.skips, other.skips);
        self
    }

    /// Every number, of all of them.
    pub fn scale(&mut self, by: f32) {
        self.all().for_each(|of| of.iter_mut().for_each(|x| *x *= by));
    }

    /// The same for every part of a batch.
    pub(crate) fn repeated(&self, times: usize) -> Self {
        let mut repeated = self.clone();
        repeated.all().for_each(|of| *of = of.repeat(times));
        repeated
    }

    /// Makes every number the mean of its channel over the picture; `channels` by number of block.
    pub(crate) fn pool(&mut self, batch: usize, channels: &[usize]) {
        for (of, channels) in self.all().zip(channels) {
            let entry = of.len() / batch;
            for picture in of.chunks_exact_mut(entry) {
                let pixels = entry / channels;
                let mut means = vec![0.0; *channels];
                picture.iter().enumerate().for_each(|(i, x)| means[i % channels] += x);
                let mean = |i: usize| means[i % channels] / pixels as f32;
                picture.iter_mut().enumerate().for_each(|(i, x)| *x = mean(i));
            }
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Vec<f32>> {
        self.input.iter_mut().chain(&mut self.skips).chain([&mut self.middle]).flatten()
    }
}
