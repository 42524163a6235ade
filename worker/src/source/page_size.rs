//! How many records to ask for: halved while the vendor is too slow for more, doubled again after some successes.
//!
//! Intercom's searches time out on large pages on bad days; running code went down to pages of one.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many pages in a row must succeed before a larger one is tried.
const STREAK: u32 = 8;

/// The page size of one account. Several units may change it at once; each change alone is sound, so none is lost that
/// matters.
#[derive(Debug)]
pub(super) struct PageSize {
    most: u32,
    now: AtomicU32,
    streak: AtomicU32,
}

impl PageSize {
    /// Starts at the most.
    pub(super) fn new(most: u32) -> PageSize {
        PageSize { most, now: AtomicU32::new(most), streak: AtomicU32::new(0) }
    }

    /// How many records to ask for now.
    pub(super) fn get(&self) -> u32 {
        self.now.load(Ordering::Relaxed)
    }

    /// A page of `size` was too slow. Two that fail at the same size halve it once.
    pub(super) fn too_slow(&self, size: u32) {
        self.streak.store(0, Ordering::Relaxed);
        let _ = self.now.compare_exchange(size, (size / 2).max(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A page came.
    pub(super) fn worked(&self) {
        let size = self.get();
        if size < self.most && self.streak.fetch_add(1, Ordering::Relaxed) + 1 >= STREAK {
            self.streak.store(0, Ordering::Relaxed);
            let larger = size.saturating_mul(2).min(self.most);
            let _ = self.now.compare_exchange(size, larger, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_halved_down_to_one_and_grows_back_after_successes() {
        let size = PageSize::new(150);
        let mut seen = Vec::new();
        for _ in 0..9 {
            size.too_slow(size.get());
            seen.push(size.get());
        }
        assert_eq!(seen, [75, 37, 18, 9, 4, 2, 1, 1, 1]);
        for _ in 0..STREAK - 1 {
            size.worked();
        }
        assert_eq!(size.get(), 1);
        for _ in 0..STREAK * 8 {
            size.worked();
        }
        assert_eq!(size.get(), 150);
    }

    #[test]
    fn two_failures_of_one_size_halve_it_once() {
        let size = PageSize::new(100);
        size.too_slow(100);
        size.too_slow(100);
        assert_eq!(size.get(), 50);
    }
}
