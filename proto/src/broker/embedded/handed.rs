//! A delivery on its way from the file to whoever asked for it. If nobody takes it, it goes home by itself.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::link::WeakLink;
use crate::broker::{Delivery, Tag};

/// Deliveries that nobody took, until the next transaction gives their messages back.
#[derive(Default)]
pub(super) struct Home {
    returned: Mutex<Vec<Tag>>,
    link: OnceLock<WeakLink>,
}

impl Home {
    /// Says whom to wake when something returns. Called once.
    pub(super) fn attach(&self, link: WeakLink) {
        if self.link.set(link).is_err() {
            tracing::debug!("a queue's home was attached twice");
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Everything that has returned.
    pub(super) fn take(&self) -> Vec<Tag> {
        std::mem::take(&mut *self.lock())
    }

    fn give_back(&self, tag: Tag) {
        self.lock().push(tag);
        if let Some(link) = self.link.get() {
            link.nudge();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Tag>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery that goes home unless somebody keeps it. This is why a dropped `receive` loses nothing: wherever its
/// answer is at that time, it is dropped too.
pub(super) struct Handed {
    delivery: Option<Delivery>,
    home: std::sync::Arc<Home>,
}

impl Handed {
    pub(super) fn new(delivery: Delivery, home: std::sync::Arc<Home>) -> Handed {
        Handed { delivery: Some(delivery), home }
    }

    /// Takes it. There is no await between this and the return of `receive`.
    pub(super) fn keep(mut self) -> Option<Delivery> {
        self.delivery.take()
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if let Some(delivery) = self.delivery.take() {
            self.home.give_back(delivery.tag);
        }
    }
}
