//! Work on many items by several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Does something to each item, on several threads; results in the order of the items. Items that were
/// not begun when `stop` is raised have none.
pub fn on_threads<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    stop: &AtomicBool,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<Option<R>> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let done = thread::scope(|scope| {
        let run = || {
            let mut mine = Vec::new();
            while !stop.load(Ordering::Acquire) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(index) else { break };
                mine.push((index, work(item)));
            }
            mine
        };
        let workers: Vec<_> =
            (1..threads.clamp(1, items.len().max(1))).map(|_| scope.spawn(run)).collect();
        let mut done = run();
        for worker in workers {
            match worker.join() {
                Ok(mine) => done.extend(mine),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    for (index, result) in done {
        results[index] = Some(result);
    }
    results
}
