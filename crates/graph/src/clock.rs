//! The date, for the names of files.

use chrono::{Datelike as _, Timelike as _};

/// Year, month, day, hour, minute and second where the program runs.
pub fn local_now() -> [u32; 6] {
    let now = chrono::Local::now();
    let [year, month, day] = [now.year().unsigned_abs(), now.month(), now.day()];
    [year, month, day, now.hour(), now.minute(), now.second()]
}
