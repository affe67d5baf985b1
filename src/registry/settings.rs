//! Where the registry is, and how it is used.

use std::path::PathBuf;

use super::decision::Register;
use super::error::RegistryError;
use crate::net::address::{self, Address, Speaks};
use crate::net::url::{Login, Url};
use crate::secrets::Value;

/// The key of the address.
pub const ADDRESS: &str = "schema_registry";
/// The key of the login.
pub const LOGIN: &str = "schema_registry_login";

/// Where the registry is, and how it is used; references to secrets are still references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Its URL, with the path of its Confluent interface.
    pub address: Address,
    /// Reference to `USER:PASSWORD`.
    pub login: Option<String>,
    /// Certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What is done about a schema that is not registered.
    pub register: Register,
}

impl RegistrySettings {
    /// A registry at this address.
    pub fn at(address: Address) -> Self {
        Self { address, login: None, ca_file: None, register: Register::default() }
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
        let reference = self.login.as_deref()?;
        if !matches!(Value::parse(reference), Ok(Value::Environment(_) | Value::File(_))) {
            // Not repeated: it may be the password.
            return Some(format!(
                "{LOGIN} must be a reference to USER:PASSWORD: ${{NAME}} for an environment variable, or \
                 ${{file:/path}}"
            ));
        }
        self.address.plain().and_then(in_the_clear)
    }

    /// The address and the login.
    ///
    /// # Errors
    /// When a reference leads nowhere, or the login would be sent unencrypted.
    pub(super) fn resolve(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Url, Option<Login>), RegistryError> {
        let wrong = RegistryError::Settings;
        if let Some(problem) = self.problem() {
            return Err(wrong(problem));
        }
        let url = self.address.resolve(ADDRESS, Speaks::Http, environment).map_err(wrong)?;
        let Some(reference) = &self.login else {
            let login = url.login().cloned();
            return Ok((url, login));
        };
        let named = |what: String| wrong(format!("{LOGIN} = \"{reference}\": {what}"));
        let value = Value::parse(reference).map_err(|what| named(what.to_owned()))?;
        let text = value.resolve(environment).map_err(named)?;
        let login = Login::plain(&text)
            .ok_or_else(|| named("is not of the form USER:PASSWORD".to_owned()))?;
        login.keep();
        if url.login().is_some() {
            let what =
                format!("{ADDRESS} leads to a URL that has a login as well; remove one of them");
            return Err(named(what));
        }
        match in_the_clear(&url) {
            Some(problem) => Err(wrong(problem)),
            None => Ok((url, Some(login))),
        }
    }
}

fn in_the_clear(url: &Url) -> Option<String> {
    url.is_exposed_on_the_way()
        .then(|| format!("{LOGIN} would be sent unencrypted to {url}: use https://"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(address: &str, login: Option<&str>) -> RegistrySettings {
        let address = Address::read(ADDRESS, address, Speaks::Http).unwrap();
        RegistrySettings { login: login.map(str::to_owned), ..RegistrySettings::at(address) }
    }

    fn resolved(address: &str, login: Option<&str>) -> Result<(Url, Option<Login>), String> {
        let environment = |name: &str| match name {
            "LOGIN" => Some("scott:t%3A/ig:er".to_owned()),
            "URL" => Some("https://u:s3cret@h/api".to_owned()),
            "NO" => Some("hunter22".to_owned()),
            _ => None,
        };
        settings(address, login).resolve(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn a_login_comes_by_reference_as_it_is() {
        let (url, login) = resolved("https://h/api", Some("${LOGIN}")).unwrap();
        let login = login.unwrap();
        assert_eq!((login.user(), login.password()), ("scott", "t%3A/ig:er"));
        assert!(url.login().is_none());
        let (_, login) = resolved("${URL}", None).unwrap();
        assert_eq!(login.unwrap().password(), "s3cret");
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
        for loopback in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"] {
            assert!(resolved(loopback, Some("${LOGIN}")).is_ok());
        }
    }
}
