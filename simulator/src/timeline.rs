//! When the records of a set happened: a time that never falls as the index grows, so that order by time is order by
//! index and no index has to be kept in memory.

use crate::chance::Chance;

const BLOCK: u64 = 256;

/// The times of a set, in its own unit (seconds or milliseconds).
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    pub(crate) seed: u64,
    pub(crate) stream: u64,
    pub(crate) count: u64,
    pub(crate) start: i64,
    pub(crate) span: u64,
    /// How many neighbours may share one instant: each block of records draws one of these.
    pub(crate) groups: &'static [u64],
}

impl Timeline {
    /// The first record of those that share an instant with `index`.
    pub(crate) fn group(&self, index: u64) -> u64 {
        let block = index / BLOCK;
        let size =
            self.groups[Chance::new(self.seed, self.stream ^ 0x6c0c, block).below(self.groups.len() as u64) as usize];
        let within = index % BLOCK;
        block * BLOCK + within - within % size
    }

    /// The time of record `index`.
    pub(crate) fn time(&self, index: u64) -> i64 {
        let group = self.group(index);
        let count = self.count.max(1);
        let step = self.span / count;
        let jitter = Chance::new(self.seed, self.stream ^ 0x71_7e, group).below(step);
        self.start + (group * self.span / count + jitter) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_never_fall_and_stay_inside() {
        let line = Timeline { seed: 9, stream: 4, count: 5_000, start: 1_000, span: 90_001, groups: &[1, 3, 64, 256] };
        let times: Vec<_> = (0..5_000).map(|index| line.time(index)).collect();
        assert!(times.is_sorted());
        assert!(times[0] >= 1_000 && times[4_999] <= 91_001);
    }

    #[test]
    fn neighbours_share_instants() {
        let line = Timeline { seed: 9, stream: 4, count: 5_000, start: 0, span: 5_000_000, groups: &[1, 3, 64, 256] };
        let mut times: Vec<_> = (0..5_000).map(|index| line.time(index)).collect();
        times.dedup();
        assert!(times.len() < 4_000);
    }
}
