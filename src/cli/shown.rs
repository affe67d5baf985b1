//! Something that is shown by a thread of its own while the work is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Is shown until dropped.
pub struct Shown {
    done: Arc<AtomicBool>,
    showing: Option<JoinHandle<()>>,
}

impl Shown {
    /// Shows something by a function that parks between two looks, and returns when the flag is up.
    pub(super) fn spawn(name: &str, show: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        let showing = thread::Builder::new().name(name.to_owned()).spawn(move || show(&seen));
        // Without a thread there is nothing to be seen, and nothing else is lost.
        Self { done, showing: showing.ok() }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Release);
        if let Some(showing) = self.showing.take() {
            showing.thread().unpark();
            let _ = showing.join();
        }
    }
}
