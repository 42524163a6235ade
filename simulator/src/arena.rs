//! Every record of a set, made once and kept end to end, so that a page costs one copy per record.

use crate::dataset::Set;
use crate::world::World;

const CHUNK: u64 = 4_096;

/// The made records.
pub(crate) struct Arena {
    chunks: Vec<Chunk>,
}

struct Chunk {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<u32>,
}

impl Arena {
    pub(crate) fn new(world: &World, set: Set) -> Self {
        let count = world.line(set).count;
        let make = |chunk: u64| {
            let mut made = Chunk { bytes: Vec::new(), ends: Vec::new() };
            for index in chunk * CHUNK..((chunk + 1) * CHUNK).min(count) {
                world.write(set, world.made(set, index), world.true_shape(), &mut made.bytes);
                made.ends.push(u32::try_from(made.bytes.len()).expect("a chunk is a few megabytes"));
            }
            made.bytes.shrink_to_fit();
            made
        };
        Self { chunks: split(count.div_ceil(CHUNK), make) }
    }

    pub(crate) fn get(&self, index: u64) -> Option<&[u8]> {
        let chunk = self.chunks.get((index / CHUNK) as usize)?;
        let at = (index % CHUNK) as usize;
        let start = if at == 0 { 0 } else { *chunk.ends.get(at - 1)? };
        chunk.bytes.get(start as usize..*chunk.ends.get(at)? as usize)
    }
}

/// Does `count` pieces of work on all cores and gives the results in order.
pub(crate) fn split<T: Send>(count: u64, work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let share = count.div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..cores)
            .map(|core| {
                let range = (core * share).min(count)..((core + 1) * share).min(count);
                scope.spawn(move || range.map(work).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("making records does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Clock, Settings};

    #[test]
    fn kept_records_are_the_made_ones() {
        let now = Clock::Fixed("2026-11-20T12:00:00Z".parse().unwrap());
        let world = World::new(Settings { now, contacts: 9_000, ..Settings::default() });
        let arena = Arena::new(&world, Set::Contacts);
        for index in [0, 1, 4_095, 4_096, 8_999] {
            let mut made = Vec::new();
            world.write(Set::Contacts, world.made(Set::Contacts, index), world.true_shape(), &mut made);
            assert_eq!(arena.get(index), Some(made.as_slice()));
        }
        assert_eq!(arena.get(9_000), None);
    }
}
