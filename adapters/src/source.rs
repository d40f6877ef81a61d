//! As which incarnation this process has last read the other side: what each apply proves by.

use std::sync::atomic::{AtomicU32, Ordering};

use model::Incarnation;

/// 0 until something was read.
#[derive(Debug, Default)]
pub(crate) struct Source(AtomicU32);

impl Source {
    pub(crate) fn read(&self) -> Incarnation {
        Incarnation(self.0.load(Ordering::Acquire))
    }

    /// Whether that is another one than before.
    pub(crate) fn set(&self, source: Incarnation) -> bool {
        self.0.swap(source.0, Ordering::AcqRel) != source.0
    }
}
