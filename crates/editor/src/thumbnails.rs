//! Small pictures as textures, read and made smaller on a thread of their own.

use crate::pictures::{self, Picture};
use egui::{Context, TextureHandle, TextureId, TextureOptions};
use graph::Host;
use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

/// The longer side of a thumbnail, in pixels: sharp on a node at twice its size.
pub const SIDE: u32 = 512;
/// So many are kept, a megabyte each at most.
const KEPT: usize = 128;
/// What changes is drawn at most this often.
pub const FRAME: Duration = Duration::from_millis(66);

/// What there is of a picture.
#[derive(Clone)]
pub enum Thumbnail {
    Loading,
    /// The texture, and the size of the picture itself in pixels.
    Ready(TextureHandle, [u32; 2]),
    /// Why there is none.
    Broken(String),
}

impl Thumbnail {
    pub fn texture(&self) -> Option<&TextureHandle> {
        match self {
            Self::Ready(texture, _) => Some(texture),
            _ => None,
        }
    }
}

/// Thumbnails of the pictures asked for; those longest not asked for are forgotten.
pub struct Thumbnails {
    shelf: Arc<Mutex<Shelf>>,
    wanted: mpsc::Sender<Picture>,
}

#[derive(Default)]
struct Shelf {
    /// With the time of last use.
    thumbnails: HashMap<Picture, (Thumbnail, u64)>,
    clock: u64,
}

impl Thumbnails {
    /// Starts the thread; it asks `ctx` for a repaint when a picture is ready.
    pub fn new(host: Arc<dyn Host>, ctx: Context) -> Self {
        let (wanted, orders) = mpsc::channel();
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let worker = shelf.clone();
        let work = move || {
            for picture in orders {
                let made = catch_unwind(AssertUnwindSafe(|| make(&picture, &*host, &ctx)));
                let made = made.unwrap_or_else(|_| Thumbnail::Broken("the file is damaged".into()));
                lock(&worker).put(picture, made);
                ctx.request_repaint_after(FRAME);
            }
        };
        let thread = std::thread::Builder::new().name("thumbnails".into());
        thread.spawn(work).expect("a thread can be started");
        Self { shelf, wanted }
    }

    /// What there is of a picture now; the first question has it loaded.
    pub fn get(&self, picture: &Picture) -> Thumbnail {
        let mut shelf = lock(&self.shelf);
        if let Some(thumbnail) = shelf.take_down(picture) {
            return thumbnail;
        }
        shelf.put(picture.clone(), Thumbnail::Loading);
        // The thread is gone only when the program ends.
        let _ = self.wanted.send(picture.clone());
        Thumbnail::Loading
    }

    /// The pictures that the textures show.
    pub fn sources(&self) -> HashMap<TextureId, Picture> {
        let shelf = lock(&self.shelf);
        let ready = shelf.thumbnails.iter();
        ready
            .filter_map(|(picture, (thumbnail, _))| {
                Some((thumbnail.texture()?.id(), picture.clone()))
            })
            .collect()
    }

    /// To be read again: the file has changed.
    pub fn forget(&self, picture: &Picture) {
        lock(&self.shelf).thumbnails.remove(picture);
    }
}

fn make(picture: &Picture, host: &dyn Host, ctx: &Context) -> Thumbnail {
    match picture.read(host) {
        Ok(pixels) => {
            let size = [pixels.width(), pixels.height()];
            let small = pictures::color_image(&pictures::at_most(pixels, SIDE));
            Thumbnail::Ready(ctx.load_texture(picture.name(), small, TextureOptions::LINEAR), size)
        }
        Err(error) => Thumbnail::Broken(format!("{error:#}")),
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    fn take_down(&mut self, picture: &Picture) -> Option<Thumbnail> {
        self.clock += 1;
        let (thumbnail, used) = self.thumbnails.get_mut(picture)?;
        *used = self.clock;
        Some(thumbnail.clone())
    }

    fn put(&mut self, picture: Picture, thumbnail: Thumbnail) {
        self.clock += 1;
        self.thumbnails.insert(picture, (thumbnail, self.clock));
        while self.thumbnails.len() > KEPT {
            let oldest = self.thumbnails.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(picture, _)| picture.clone()) else { return };
            self.thumbnails.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(i: usize) -> Picture {
        Picture::input(&format!("{i}.png"))
    }

    #[test]
    fn the_longest_unused_are_forgotten_first() {
        let mut shelf = Shelf::default();
        (0..KEPT).for_each(|i| shelf.put(named(i), Thumbnail::Loading));
        shelf.take_down(&named(0));
        shelf.put(named(KEPT), Thumbnail::Loading);
        assert_eq!(shelf.thumbnails.len(), KEPT);
        assert!(shelf.thumbnails.contains_key(&named(0)));
        assert!(!shelf.thumbnails.contains_key(&named(1)));
    }
}
