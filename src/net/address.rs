//! URLs of settings: as they are, or by reference where they hold a secret.

use std::fmt;

use super::url::{Url, redacted_address};
use crate::secrets::Value;

/// A URL that somebody chose, valid as far as that is known without looking for what it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The URL; it holds no secret.
    Plain(Url),
    /// `${NAME}` or `${file:/path}`: where the URL is.
    Reference(String),
}

/// What may be spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// http or https.
    Http,
    /// ws or wss.
    Websocket,
}

impl Speaks {
    /// Its schemes, the encrypted one first.
    fn schemes(self) -> [&'static str; 2] {
        match self {
            Self::Http => ["https", "http"],
            Self::Websocket => ["wss", "ws"],
        }
    }

    fn check(self, url: Url) -> Result<Url, String> {
        let schemes = self.schemes();
        match schemes.contains(&url.scheme().as_str()) {
            true => Ok(url),
            false => Err(self.to_string()),
        }
    }
}

impl fmt::Display for Speaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [encrypted, plain] = self.schemes();
        write!(f, "must be a URL with {encrypted}:// or {plain}://")
    }
}

impl Address {
    /// Reads an address as it was written; `setting` is what it was written for.
    ///
    /// # Errors
    /// What is wrong with it, without its secrets.
    pub fn read(setting: &str, text: &str, speaks: Speaks) -> Result<Self, String> {
        let wrong = |what: &str| format!("{setting} = \"{}\" {what}", redacted_address(text));
        match Value::parse(text.trim()) {
            Err(what) => return Err(wrong(&format!("is not valid: {what}"))),
            Ok(Value::Environment(_) | Value::File(_)) => {
                return Ok(Self::Reference(text.trim().to_owned()));
            }
            Ok(Value::Literal(_)) => {}
        }
        let url = Url::parse(text).map_err(|_| wrong(&speaks.to_string()))?;
        let url = speaks.check(url).map_err(|what| wrong(&what))?;
        match url.has_secrets() {
            true => Err(format!(
                "{setting} = \"{url}\" holds a secret, which others can read in files and in lists of \
                 processes: put the whole URL into an environment variable or a file, and set \
                 {setting} to a reference, ${{NAME}} or ${{file:/path}}"
            )),
            false => Ok(Self::Plain(url)),
        }
    }

    /// The URL, if it can be known without looking for what it names.
    pub fn plain(&self) -> Option<&Url> {
        match self {
            Self::Plain(url) => Some(url),
            Self::Reference(_) => None,
        }
    }

    /// The URL.
    ///
    /// # Errors
    /// When the reference leads to none, or to one whose login would be sent unencrypted.
    pub fn resolve(
        &self,
        setting: &str,
        speaks: Speaks,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Url, String> {
        let reference = match self {
            Self::Plain(url) => return Ok(url.clone()),
            Self::Reference(reference) => reference,
        };
        let wrong = |what: String| format!("{setting} = \"{reference}\": {what}");
        let value = Value::parse(reference).map_err(|what| wrong(what.to_owned()))?;
        let text = value.resolve(environment).map_err(wrong)?;
        let url = Url::parse(&text).map_err(|_| wrong(speaks.to_string()))?;
        let url = speaks.check(url).map_err(wrong)?;
        match url.has_secrets() && url.is_exposed_on_the_way() {
            true => Err(wrong(format!(
                "a secret would be sent unencrypted to {url}: use {}://",
                speaks.schemes()[0]
            ))),
            false => Ok(url.veiled()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(url) => url.fmt(f),
            Self::Reference(reference) => f.write_str(reference),
        }
    }
}

/// What is weak about the way to an address of a setting, and what to do about it.
pub fn weakness(setting: &str, url: &Url) -> Option<String> {
    let better = if url.scheme() == "ws" { "wss" } else { "https" };
    url.is_exposed_on_the_way().then(|| {
        format!(
            "{setting} = \"{url}\" is not encrypted, which allows eavesdropping and tampering; \
             use {better}://"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Address, String> {
        Address::read("rest", text, Speaks::Http)
    }

    #[test]
    fn an_address_with_a_secret_is_given_by_reference_only() {
        assert!(matches!(read("https://h/x"), Ok(Address::Plain(_))));
        assert_eq!(read(" ${URL} "), Ok(Address::Reference("${URL}".to_owned())));
        for text in [
            "https://u:s3cret@h",
            "https://s3cret@h",
            "http://h/?api_key=s3cret",
            "HTTP://u:s3cret@h",
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains("${file:/path}") && !said.contains("s3cret"), "{said}");
        }
        for text in ["u:s3cret@h", "ws://u:s3cret@h", "https://u:s3/cret@h", "https://${U}@h", "h"]
        {
            let said = read(text).unwrap_err();
            assert!(said.starts_with("rest = \"") && !said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn a_reference_leads_to_a_url_whose_login_is_sent_encrypted() {
        let resolve = |url: &str| {
            let environment = |name: &str| (name == "URL").then(|| url.to_owned());
            read("${URL}").unwrap().resolve("rest", Speaks::Http, &environment)
        };
        for url in ["https://u:s3cret@h/", "http://u:s3cret@127.0.0.1:9", "http://h"] {
            assert!(resolve(url).is_ok(), "{url}");
        }
        for url in ["http://u:s3cret@h/", "http://h?token=s3cret", "ws://u:s3cret@h", "s3cret"] {
            let said = resolve(url).unwrap_err();
            assert!(said.starts_with("rest = \"${URL}\": ") && !said.contains("s3cret"), "{said}");
        }
        let said = read("${NONE}").unwrap().resolve("rest", Speaks::Http, &|_| None).unwrap_err();
        assert!(said.contains("\"NONE\" is not set"), "{said}");
    }

    #[test]
    fn only_what_leaves_this_machine_unencrypted_is_weak() {
        let weak = |text: &str| weakness("websocket", &Url::parse(text).unwrap());
        assert!(weak("ws://10.0.0.1:9").unwrap().ends_with("use wss://"));
        assert!(weak("http://venue.example").unwrap().ends_with("use https://"));
        for text in ["wss://h", "https://h", "ws://localhost:1", "http://[::1]:1"] {
            assert_eq!(weak(text), None, "{text}");
        }
    }
}
