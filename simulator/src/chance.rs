//! Chance without state: every number is a pure function of (seed, stream, index), so a record can be made again at any
//! time, in any order, with the same bytes.

/// A reversible scrambling of 64 bits.
pub(crate) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Takes [`mix`] back.
pub(crate) const fn unmix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 31) ^ (bits >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
    bits = (bits ^ (bits >> 27) ^ (bits >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    bits ^ (bits >> 30) ^ (bits >> 60)
}

/// A short sequence of numbers that belongs to one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    /// The sequence of record `index` in `stream`.
    pub(crate) const fn new(seed: u64, stream: u64, index: u64) -> Self {
        Self { state: mix(seed ^ mix(stream)).wrapping_add(mix(index.wrapping_add(0x51_7c_c1_b7))) }
    }

    /// The next 64 bits.
    pub(crate) const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.bits() % end }
    }

    /// True once in `odds` times.
    pub(crate) const fn one_in(&mut self, odds: u64) -> bool {
        self.below(odds) == 0
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.bits() as usize % choices.len()]
    }

    /// A UUID of the given version.
    pub(crate) fn uuid(&mut self, version: u8) -> String {
        let (high, low) = (self.bits(), self.bits());
        format!(
            "{:08x}-{:04x}-{version:x}{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | ((low >> 48) & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmix_takes_mix_back() {
        for bits in [0, 1, 2, 77, u64::MAX, 1 << 63, 0x0123_4567_89ab_cdef] {
            assert_eq!(unmix(mix(bits)), bits);
        }
    }

    #[test]
    fn same_record_gives_same_numbers() {
        assert_eq!(Chance::new(1, 2, 3).bits(), Chance::new(1, 2, 3).bits());
        assert_ne!(Chance::new(1, 2, 3).bits(), Chance::new(1, 2, 4).bits());
    }

    #[test]
    fn uuid_carries_its_version() {
        let id = Chance::new(1, 2, 3).uuid(3);
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'3');
    }
}
