//! Colours: where a terminal has them, or somebody asks for them, and nowhere else.

use std::fs;

use crate::support::process::barflow;

/// What a command says on standard error with this environment.
fn said(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = barflow();
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    let ran = command.args(arguments).envs(environment.iter().copied()).output().unwrap();
    String::from_utf8(ran.stderr).unwrap()
}

#[test]
fn errors_and_hints_are_coloured_on_demand_only() {
    let wrong = ["replay", "nowhere.csv", "--bar", "t=tick,size=1"];
    let plain = said(&wrong, &[]);
    assert!(plain.starts_with("error: ") && !plain.contains('\x1b'), "{plain}");
    let always = [&["--color", "always"][..], &wrong].concat();
    let coloured = said(&always, &[]);
    assert!(coloured.starts_with("\x1b[1m\x1b[31merror:\x1b[0m "), "{coloured:?}");
    let strip = |text: &str| anstream::adapter::strip_str(text).to_string();
    assert_eq!(strip(&coloured), plain);
    assert_eq!(said(&wrong, &[("CLICOLOR_FORCE", "1")]), coloured);
    let never = [&wrong[..], &["--color=never"]].concat();
    assert_eq!(said(&never, &[("CLICOLOR_FORCE", "1")]), plain);
    // A command that cannot be understood as well.
    let usage = said(&["replay", "--wrong", "--color", "always"], &[]);
    assert!(usage.contains("\x1b["), "{usage:?}");
    assert!(
        !said(&["replay", "--wrong", "--color", "never"], &[("CLICOLOR_FORCE", "1")])
            .contains('\x1b')
    );
}

#[test]
fn a_summary_is_set_off_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let day = folder.path().join("BTCUSDT-trades-2024-03-01.csv");
    let row = |id: u64| format!("{id},100.5,1.0,100.5,{},True,True\n", 1_709_251_200_000 + id);
    fs::write(&day, (1..200).map(row).collect::<String>()).unwrap();
    let replay = ["replay", day.to_str().unwrap(), "--bar", "t=tick,size=10"];
    let coloured = said(&[&replay[..], &["--color", "always"]].concat(), &[]);
    assert!(
        coloured.contains("\x1b[1mbinance:um:BTCUSDT t:\x1b[0m 19 bars")
            || coloured.contains("\x1b[1mbinance:spot:BTCUSDT t:\x1b[0m 19 bars"),
        "{coloured:?}"
    );
    assert!(!said(&replay, &[]).contains('\x1b'));
}
