//! A session that runs nothing and tells what it is told to tell.

use editor::session::{Event, Job, JobId, Session};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clones are one session.
#[derive(Clone, Default)]
pub struct Played(Arc<Mutex<Play>>);

#[derive(Default)]
struct Play {
    waiting: Vec<JobId>,
    events: Vec<Event>,
    last: JobId,
}

impl Played {
    /// Has the editor hear of it at its next frame.
    pub fn tell(&self, event: Event) {
        let mut play = self.play();
        if let Event::Started(job) = event {
            play.waiting.retain(|id| *id != job);
        }
        play.events.push(event);
    }

    fn play(&self) -> MutexGuard<'_, Play> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session for Played {
    fn submit(&self, _: Job, front: bool) -> JobId {
        let mut play = self.play();
        play.last += 1;
        let (job, at) = (play.last, if front { 0 } else { play.waiting.len() });
        play.waiting.insert(at, job);
        job
    }
    fn cancel(&self, job: JobId) {
        self.play().waiting.retain(|id| *id != job);
    }
    fn reorder(&self, job: JobId, place: usize) {
        let mut play = self.play();
        play.waiting.retain(|id| *id != job);
        let place = place.min(play.waiting.len());
        play.waiting.insert(place, job);
    }
    fn waiting(&self) -> Vec<JobId> {
        self.play().waiting.clone()
    }
    fn poll(&self) -> Vec<Event> {
        std::mem::take(&mut self.play().events)
    }
}
