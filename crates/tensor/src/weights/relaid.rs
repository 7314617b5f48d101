//! The tensors of a file under other names, cut and turned: for networks that files keep in several layouts.

use super::{Checkpoint, Entry, Weights, serial};
use std::sync::{Mutex, atomic::Ordering};

/// What of a file's tensor becomes a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Whole,
    /// Of so many equal groups of rows, the one of this number.
    Rows {
        group: usize,
        of: usize,
    },
    /// A matrix with its rows as columns.
    Transposed,
}

impl Weights {
    /// The tensors below this place under the names that `name` gives them. Those to which it gives none
    /// are left out.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> Option<String>) -> Self {
        self.relaid(|key| name(key).map(|name| (name, View::Whole)).into_iter().collect())
    }

    /// The tensors that `views` makes of each tensor below this place, by their names. A view that the
    /// tensor's shape does not allow is left out, so that loading tells it as missing.
    #[must_use]
    pub fn relaid(&self, views: impl Fn(&str) -> Vec<(String, View)>) -> Self {
        let old = &self.file;
        let mut named = Vec::new();
        for key in self.keys() {
            let entry = &old.entries[&format!("{}{key}", self.prefix)];
            let views = views(key).into_iter();
            named.extend(views.filter_map(|(name, view)| Some((name, entry.seen(view)?))));
        }
        let file = Checkpoint {
            name: old.name.clone(),
            serial: serial().fetch_add(1, Ordering::Relaxed),
            parts: old.parts.clone(),
            keys: named.iter().map(|(name, _)| name.clone()).collect(),
            entries: named.into_iter().collect(),
            metadata: old.metadata.clone(),
            faults: Mutex::default(),
        };
        let file = file.into();
        Self { file, prefix: String::new(), f16: self.f16, patches: Default::default() }
    }
}

impl Entry {
    fn seen(&self, view: View) -> Option<Self> {
        match (view, self.shape.as_slice()) {
            (View::Whole, _) => Some(self.clone()),
            (View::Rows { group, of }, [rows, rest @ ..]) if rows % of == 0 && !self.transposed => {
                let shape = [&[rows / of], rest].concat();
                let len = self.len / of;
                Some(Self { start: self.start + group * len, len, shape, ..self.clone() })
            }
            (View::Transposed, &[rows, columns]) => {
                let transposed = !self.transposed;
                Some(Self { shape: vec![columns, rows], transposed, ..self.clone() })
            }
            _ => None,
        }
    }
}

/// A matrix stored by columns, by rows.
pub(super) fn transposed(x: &[f32], rows: usize) -> Vec<f32> {
    let columns = x.len() / rows.max(1);
    (0..x.len()).map(|i| x[i % columns * rows + i / columns]).collect()
}
