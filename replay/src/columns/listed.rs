//! Names of columns in messages.

/// Names of columns in a message; a file may have any number of them.
const NAMES: usize = 20;

/// Characters of the longest name in a message.
const LETTERS: usize = 100;

/// The first names, and how many more there are.
pub(super) fn listed(names: &[impl AsRef<str>], between: &str) -> String {
    let short = |name: &str| match name.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    };
    let first = names.iter().take(NAMES).map(|name| short(name.as_ref())).collect::<Vec<_>>();
    let first = first.join(between);
    match names.len().saturating_sub(NAMES) {
        0 => first,
        more => format!("{first}{between}… and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_some_columns_and_count_the_others() {
        assert_eq!(listed(&["a", "b"], ", "), "a, b");
        let many = vec!["ä".repeat(101); 22];
        let said = listed(&many, ",");
        assert_eq!(said.matches(&"ä".repeat(100)).count(), 20);
        assert!(said.ends_with("ä…,… and 2 more"), "{said}");
    }
}
