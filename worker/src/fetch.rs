//! Watches over a walk: that it does not go in a circle, and that it does not end with fewer records than the vendor
//! states. A wrong cursor must never end as a success with a part of the rows.
//!
//! Pure: the page loop in [`crate::run`] feeds it, and everything it remembers travels in the continuation.

use proto::source::Page;
use proto::unit::Progress;
use xxhash_rust::xxh3::xxh3_64;

use crate::encode::Digests;

/// How many pages back a circle is noticed.
const SEEN: usize = 64;
/// How many keys at the end of a page are remembered, to tell repeats at the boundary from new rows.
const TAIL: usize = 64;

/// Why a walk is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A page came again.
    #[error(
        "the walk goes in a circle: page {page} holds the same records as one before it, so the vendor's cursor did not move{}",
        short_of(*.stated, *.came)
    )]
    Circle {
        /// The page, counted from 1.
        page: u64,
        /// The total that the vendor stated, where it states one.
        stated: Option<u64>,
        /// The records that came before that page, without repeats.
        came: u64,
    },
    /// The walk ended early.
    #[error("the vendor states {stated} records and the walk ended after {came}")]
    Short {
        /// The total that the vendor stated.
        stated: u64,
        /// The records that came, without repeats.
        came: u64,
    },
}

fn short_of(stated: Option<u64>, came: u64) -> String {
    stated.map(|stated| format!("; the vendor states {stated} records and {came} came before it")).unwrap_or_default()
}

/// Takes a page into the progress of its pass; `digests` are those of its records in order.
///
/// # Errors
/// When the page came before: the same records with the same content. A record that changed and comes again is none.
pub fn absorb(progress: &mut Progress, page: &Page, digests: &[Digests]) -> Result<(), WalkError> {
    progress.pages += 1;
    progress.requests += u64::from(page.requests);
    progress.rows += digests.len() as u64;
    if let Some(stated) = page.stated {
        // Records that come or go during the walk move the total; the smaller figure is what was there all along.
        progress.stated = Some(progress.stated.map_or(stated, |before| before.min(stated)));
    }
    if digests.is_empty() {
        return Ok(());
    }
    let bytes: Vec<u8> = digests.iter().flat_map(|one| one.content.to_le_bytes()).collect();
    let digest = xxh3_64(&bytes);
    if progress.seen.contains(&digest) {
        let before = progress.rows - digests.len() as u64;
        let came = before - progress.repeats.min(before);
        return Err(WalkError::Circle { page: progress.pages, stated: progress.stated, came });
    }
    if progress.seen.len() >= SEEN {
        progress.seen.remove(0);
    }
    progress.seen.push(digest);
    progress.repeats += digests.iter().filter(|one| progress.tail.contains(&one.key)).count() as u64;
    progress.tail = digests[digests.len().saturating_sub(TAIL)..].iter().map(|one| one.key).collect();
    Ok(())
}

/// Checks a pass whose last page was absorbed.
///
/// # Errors
/// When the vendor states more records than came.
pub fn finish(progress: &Progress) -> Result<(), WalkError> {
    let came = progress.rows - progress.repeats.min(progress.rows);
    match progress.stated {
        Some(stated) if stated > came => Err(WalkError::Short { stated, came }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn page(stated: Option<u64>) -> Page {
        Page { body: Bytes::new(), records: vec![], next: None, stated, requests: 1, fetched_at: chrono::Utc::now() }
    }

    fn records(keys: &[u64]) -> Vec<Digests> {
        keys.iter().map(|key| Digests { key: *key, content: key * 31 }).collect()
    }

    #[test]
    fn a_record_that_changed_and_comes_again_alone_is_no_circle() {
        let mut progress = Progress::default();
        for (key, content) in [(1, 10), (2, 20), (3, 30), (2, 21)] {
            absorb(&mut progress, &page(None), &[Digests { key, content }]).unwrap();
        }
    }

    #[test]
    fn a_cursor_that_does_not_move_is_a_circle() {
        let mut progress = Progress::default();
        absorb(&mut progress, &page(None), &records(&[1, 2])).unwrap();
        absorb(&mut progress, &page(None), &records(&[3, 4])).unwrap();
        let circle = Err(WalkError::Circle { page: 3, stated: None, came: 4 });
        assert_eq!(absorb(&mut progress, &page(None), &records(&[1, 2])), circle);
    }

    #[test]
    fn a_circle_is_told_with_what_the_vendor_states_and_what_came() {
        let mut progress = Progress::default();
        absorb(&mut progress, &page(Some(9)), &records(&[1, 2])).unwrap();
        let text = absorb(&mut progress, &page(Some(9)), &records(&[1, 2])).unwrap_err().to_string();
        assert!(text.ends_with("; the vendor states 9 records and 2 came before it"), "{text}");
    }

    #[test]
    fn repeats_at_a_boundary_do_not_count_as_records() {
        let mut progress = Progress::default();
        absorb(&mut progress, &page(Some(4)), &records(&[1, 2])).unwrap();
        absorb(&mut progress, &page(Some(4)), &records(&[2, 3])).unwrap();
        assert_eq!(progress.repeats, 1);
        assert_eq!(finish(&progress), Err(WalkError::Short { stated: 4, came: 3 }));
        absorb(&mut progress, &page(Some(4)), &records(&[3, 4])).unwrap();
        assert_eq!(finish(&progress), Ok(()));
    }

    #[test]
    fn records_that_come_or_go_during_the_walk_explain_a_difference() {
        for totals in [[5, 3], [3, 5]] {
            let mut progress = Progress::default();
            for (n, total) in totals.into_iter().enumerate() {
                absorb(&mut progress, &page(Some(total)), &records(&[n as u64 * 2, n as u64 * 2 + 1])).unwrap();
            }
            assert_eq!(finish(&progress), Ok(()), "{totals:?}");
        }
    }

    #[test]
    fn empty_pages_are_no_circle_and_a_walk_without_a_total_ends_where_it_ends() {
        let mut progress = Progress::default();
        for _ in 0..3 {
            absorb(&mut progress, &page(None), &records(&[])).unwrap();
        }
        assert_eq!((progress.pages, finish(&progress)), (3, Ok(())));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut progress = Progress::default();
        for n in 0..1000_u64 {
            let keys: Vec<u64> = (0..200).map(|k| n * 200 + k).collect();
            absorb(&mut progress, &page(None), &records(&keys)).unwrap();
        }
        assert_eq!((progress.seen.len(), progress.tail.len()), (SEEN, TAIL));
    }
}
