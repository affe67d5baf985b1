//! Whether the process was started with a standard output.
//!
//! Rust's runtime opens a closed one (`>&-`) as `/dev/null` before `main`, where bars would vanish in silence; so what
//! runs before the runtime has to look.

use std::sync::atomic::{AtomicBool, Ordering};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

#[cfg(target_os = "linux")]
// SAFETY: the loader calls what stands in this section once, before `main`, as a C function.
#[unsafe(link_section = ".init_array")]
#[used]
static LOOK: extern "C" fn() = look;

#[cfg(target_os = "linux")]
extern "C" fn look() {
    // SAFETY: fcntl(2) with F_GETFD looks at a descriptor and changes nothing.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags == -1, Ordering::Relaxed);
}

/// Whether it was closed when the process started.
pub fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}
