//! Memory that the allocator keeps although nobody uses it.

/// Gives it back to the system. For moments after which much was freed on threads that are gone: glibc
/// keeps what each of them had, some 5 MB each time all clients of Kafka were made anew.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) may be called by any thread at any time; it touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
