//! Where the registry is, and how it is used.

use std::fmt;
use std::path::PathBuf;

use super::decision::Register;
use super::error::RegistryError;
use crate::net::address::{self, Address, Speaks};
use crate::net::url::{Login, Url};
use crate::secrets::{self, HIDDEN, Value};

/// The key of the address.
pub const ADDRESS: &str = "schema_registry";
/// The key of the login.
pub const LOGIN: &str = "schema_registry_login";
/// The key of the token.
pub const TOKEN: &str = "schema_registry_token";

/// Where the registry is, and how it is used; references to secrets are still references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Its URL, with the path of its Confluent interface.
    pub address: Address,
    /// Reference to `USER:PASSWORD`.
    pub login: Option<String>,
    /// Reference to a bearer token, instead of a login.
    pub token: Option<String>,
    /// Certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What is done about a schema that is not registered.
    pub register: Register,
}

impl RegistrySettings {
    /// A registry at this address.
    pub fn at(address: Address) -> Self {
        Self { address, login: None, token: None, ca_file: None, register: Register::default() }
    }

    /// What is weak about the way there, and what to do about it, as far as that is known without looking for what
    /// the address names.
    pub fn weakness(&self) -> Option<String> {
        address::weakness(ADDRESS, self.address.plain()?)
    }

    /// As [`weakness`](Self::weakness), also of an address that comes by reference. One that leads nowhere is an error
    /// elsewhere.
    pub fn weakness_in(&self, environment: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        let url = self.address.resolve(ADDRESS, Speaks::Http, environment).ok()?;
        address::weakness(ADDRESS, &url)
    }

    /// Everything wrong with them that shows without looking for what they name.
    pub fn problem(&self) -> Option<String> {
        let (key, what, reference) = match (&self.login, &self.token) {
            (Some(_), Some(_)) => {
                return Some(format!("{LOGIN} and {TOKEN} cannot be combined; remove one of them"));
            }
            (Some(login), None) => (LOGIN, "USER:PASSWORD", login),
            (None, Some(token)) => (TOKEN, "a token", token),
            (None, None) => return None,
        };
        if !matches!(Value::parse(reference), Ok(Value::Environment(_) | Value::File(_))) {
            // Not repeated: it may be the secret.
            return Some(format!(
                "{key} must be a reference to {what}: ${{NAME}} for an environment variable, or \
                 ${{file:/path}}"
            ));
        }
        self.address.plain().and_then(|url| in_the_clear(key, url))
    }

    /// The address, and who asks there.
    ///
    /// # Errors
    /// When a reference leads nowhere, or the login would be sent unencrypted.
    pub(super) fn resolve(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Url, Option<Authorization>), RegistryError> {
        let wrong = RegistryError::Settings;
        if let Some(problem) = self.problem() {
            return Err(wrong(problem));
        }
        let url = self.address.resolve(ADDRESS, Speaks::Http, environment).map_err(wrong)?;
        let (key, reference) = match (&self.login, &self.token) {
            (Some(login), _) => (LOGIN, login),
            (None, Some(token)) => (TOKEN, token),
            (None, None) => {
                let login = url.login().cloned().map(Authorization::Login);
                return Ok((url, login));
            }
        };
        let named = |what: String| wrong(format!("{key} = \"{reference}\": {what}"));
        let value = Value::parse(reference).map_err(|what| named(what.to_owned()))?;
        let text = value.resolve(environment).map_err(named)?;
        let who = match key {
            LOGIN => Authorization::login(&text),
            _ => Authorization::token(text),
        };
        let who = who.map_err(|what| named(what.to_owned()))?;
        if url.login().is_some() {
            let what =
                format!("{ADDRESS} leads to a URL that has a login as well; remove one of them");
            return Err(named(what));
        }
        match in_the_clear(key, &url) {
            Some(problem) => Err(wrong(problem)),
            None => Ok((url, Some(who))),
        }
    }
}

/// Who asks a registry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Authorization {
    /// A user with a password.
    Login(Login),
    /// The holder of this token.
    Bearer(String),
}

impl Authorization {
    fn login(text: &str) -> Result<Self, &'static str> {
        let login = Login::plain(text).ok_or("is not of the form USER:PASSWORD")?;
        login.keep();
        Ok(Self::Login(login))
    }

    /// A token as RFC 6750 has it: nothing in it can end a header.
    fn token(text: String) -> Result<Self, &'static str> {
        secrets::keep(&text);
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        match text.chars().all(is_part) {
            true => Ok(Self::Bearer(text)),
            false => Err("is not a token of letters, digits and -._~+/="),
        }
    }

    /// The value of an `Authorization` header.
    pub(super) fn header(&self) -> String {
        match self {
            Self::Login(login) => login.header(),
            Self::Bearer(token) => format!("Bearer {token}"),
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

fn in_the_clear(key: &str, url: &Url) -> Option<String> {
    url.is_exposed_on_the_way()
        .then(|| format!("{key} would be sent unencrypted to {url}: use https://"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(address: &str, login: Option<&str>) -> RegistrySettings {
        let address = Address::read(ADDRESS, address, Speaks::Http).unwrap();
        RegistrySettings { login: login.map(str::to_owned), ..RegistrySettings::at(address) }
    }

    fn resolved(
        address: &str,
        login: Option<&str>,
    ) -> Result<(Url, Option<Authorization>), String> {
        resolve(&settings(address, login))
    }

    fn with_token(address: &str, token: &str) -> Result<(Url, Option<Authorization>), String> {
        resolve(&RegistrySettings { token: Some(token.to_owned()), ..settings(address, None) })
    }

    fn resolve(settings: &RegistrySettings) -> Result<(Url, Option<Authorization>), String> {
        let environment = |name: &str| match name {
            "TOKEN" => Some("eyJh.eyJz-_~+/x==".to_owned()),
            "LINES" => Some("h0ney\r\nX-Other: 1".to_owned()),
            "LOGIN" => Some("scott:t%3A/ig:er".to_owned()),
            "URL" => Some("https://u:s3cret@h/api".to_owned()),
            "NO" => Some("hunter22".to_owned()),
            _ => None,
        };
        settings.resolve(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn a_login_comes_by_reference_as_it_is() {
        let (url, login) = resolved("https://h/api", Some("${LOGIN}")).unwrap();
        assert_eq!(login, Some(Authorization::Login(Login::plain("scott:t%3A/ig:er").unwrap())));
        assert!(url.login().is_none());
        let (_, login) = resolved("${URL}", None).unwrap();
        assert_eq!(login, Some(Authorization::Login(Login::plain("u:s3cret").unwrap())));
        assert!(resolved("http://h", None).unwrap().1.is_none());
    }

    #[test]
    fn an_unencrypted_way_is_weak_also_where_it_comes_by_reference() {
        let weak = |address: &str, url: &str| {
            settings(address, None).weakness_in(&|name| (name == "URL").then(|| url.to_owned()))
        };
        let named = "schema_registry = \"http://registry.example/***\" is not encrypted";
        let said = weak("${URL}", "http://registry.example/s3cret").unwrap();
        assert!(said.contains(named) && said.ends_with("use https://"), "{said}");
        assert!(weak("http://registry.example", "").is_some());
        for fine in ["https://registry.example", "http://127.0.0.1:1", "nonsense"] {
            assert_eq!(weak("${URL}", fine), None, "{fine}");
        }
        assert_eq!(weak("${OTHER}", "http://registry.example"), None);
        assert_eq!(settings("${URL}", None).weakness(), None, "nobody looks for it");
    }

    #[test]
    fn a_token_takes_the_place_of_a_login() {
        let (_, who) = with_token("https://h/api", "${TOKEN}").unwrap();
        let who = who.unwrap();
        assert_eq!(who.header(), "Bearer eyJh.eyJz-_~+/x==");
        assert!(!format!("{who:?}").contains("eyJ"), "{who:?}");
    }

    #[test]
    fn a_login_is_refused_that_is_literal_missing_double_or_unencrypted() {
        for (address, login, word) in [
            ("https://h", "scott:t1ger", "must be a reference"),
            ("https://h", "${MISSING}", "\"MISSING\" is not set"),
            ("https://h", "${NO}", "USER:PASSWORD"),
            ("${URL}", "${LOGIN}", "a login as well"),
            ("http://registry.example", "${LOGIN}", "would be sent unencrypted"),
        ] {
            let said = resolved(address, Some(login)).unwrap_err();
            assert!(said.contains(word), "{said}");
            assert!(!said.contains("t1ger") && !said.contains("hunter22"), "{said}");
        }
        for (address, token, word) in [
            ("https://h", "eyJh.t1ger", "must be a reference to a token"),
            ("https://h", "${LINES}", "is not a token"),
            ("https://h", "${LOGIN}", "is not a token"),
            ("${URL}", "${TOKEN}", "a login as well"),
            (
                "http://registry.example",
                "${TOKEN}",
                "schema_registry_token would be sent unencrypted",
            ),
        ] {
            let said = with_token(address, token).unwrap_err();
            assert!(said.contains(word), "{said}");
            assert!(
                ["t1ger", "h0ney", "t%3A"].iter().all(|secret| !said.contains(secret)),
                "{said}"
            );
        }
        let both = RegistrySettings {
            token: Some("${TOKEN}".to_owned()),
            ..settings("https://h", Some("${LOGIN}"))
        };
        assert!(resolve(&both).unwrap_err().contains("cannot be combined"));
        for loopback in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"] {
            assert!(resolved(loopback, Some("${LOGIN}")).is_ok());
        }
    }
}
