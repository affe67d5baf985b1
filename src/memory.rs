//! Limits the free memory that the allocator keeps.
//!
//! glibc gives threads areas of their own and keeps what was freed in them. Kafka's client is made anew after
//! every fault of the broker, with a dozen threads: each time 5 MB more stayed resident, with two areas it is less than
//! one (docs/PERFORMANCE.md).

/// Two areas for all threads instead of sixteen and more. For runs of many days, before they start threads;
/// not for replays, whose threads allocate side by side.
pub fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) with a parameter that it knows changes how later requests are served.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Gives what is free back to the system, for moments after which much was freed.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) may be called by any thread at any time; it touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
