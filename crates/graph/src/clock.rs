//! The date, for the names of files.

/// Year, month, day, hour, minute and second in UTC, by the civil-from-days algorithm of Howard
/// Hinnant.
pub fn utc_now() -> [u64; 6] {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    civil(since.map_or(0, |d| d.as_secs()))
}

fn civil(seconds: u64) -> [u64; 6] {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    [year, month, day, time / 3600, time / 60 % 60, time % 60]
}

#[cfg(test)]
mod tests {
    #[test]
    fn leap_days_and_the_ends_of_years_are_right() {
        assert_eq!(super::civil(951_782_400), [2000, 2, 29, 0, 0, 0]);
        assert_eq!(super::civil(1_735_689_599), [2024, 12, 31, 23, 59, 59]);
        assert_eq!(super::civil(1_772_323_200), [2026, 3, 1, 0, 0, 0]);
    }
}
