//! Programs that are watched, with the most memory that each of them had.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::support::process::barflow;

/// How long a file of some KB may be read: far beyond what a slow machine needs.
const HANG: Duration = Duration::from_secs(60);

/// How a program ended.
pub struct Ended {
    pub status: libc::c_int,
    /// What it said on standard error.
    pub said: String,
    pub hangs: bool,
    /// The most memory that it had, KiB.
    pub peak: libc::c_long,
}

/// Runs a program as the child of a shell, which leaves it to this process: the peak of a child begins with
/// that of the process that made it, and the shell's is small. What it prints goes into a file.
pub fn end(program: &Command, printed: &Path) -> Ended {
    // SAFETY: numbers only; from now on what the shell leaves is a child of this process.
    let adopts = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    assert_eq!(adopts, 0, "{}", std::io::Error::last_os_error());
    let mut shell = Command::new("sh");
    shell.args(["-c", "to=$1; shift; \"$@\" >\"$to\" & echo $!", "sh"]).arg(printed);
    shell.arg(program.get_program()).args(program.get_args());
    shell.current_dir(program.get_current_dir().unwrap());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut id = String::new();
    shell.stdout.take().unwrap().read_to_string(&mut id).unwrap();
    let id: libc::pid_t = id.trim().parse().unwrap();
    let mut stderr = shell.stderr.take().unwrap();
    shell.wait().unwrap();
    let (ended, waiting) = channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let hangs = waiting.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout);
        if hangs {
            // SAFETY: a signal to a child that nobody has waited for yet.
            unsafe { libc::kill(id, libc::SIGKILL) };
        }
        hangs
    });
    let mut said = Vec::new();
    stderr.read_to_end(&mut said).unwrap();
    let mut status = 0;
    // SAFETY: all zeros are a valid value of these numbers, and the pointers live through the call.
    let (waited, used) = unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        (libc::wait4(id, &mut status, 0, &mut used), used)
    };
    drop(ended);
    let hangs = watchdog.join().unwrap();
    assert_eq!(waited, id, "{}", std::io::Error::last_os_error());
    let said = String::from_utf8_lossy(&said).into_owned();
    Ended { status, said, hangs, peak: used.ru_maxrss }
}

#[test]
fn the_peak_of_a_program_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let of_test = vec![1u8; 200 << 20];
    let mut command = barflow();
    command.arg("--version").current_dir(folder.path());
    let ended = end(&command, &folder.path().join("printed"));
    assert_eq!((ended.status, of_test[of_test.len() / 2]), (0, 1));
    assert!(ended.peak < 100 << 10, "{} KiB", ended.peak);
}
