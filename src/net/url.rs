//! URLs that may hold secrets, and texts from which those of all URLs are removed.
//!
//! **Invariant:** a login leaves a [`Url`] only as a header for its own origin; whatever shows a `Url`
//! shows neither a login nor the value of a query parameter that is named like a secret.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::Uri;

use crate::secrets::{self, HIDDEN};

/// A parameter whose name contains one of these holds a secret.
const SECRET_NAMES: [&str; 9] =
    ["pass", "pwd", "secret", "token", "key", "sig", "auth", "cred", "session"];

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    password: String,
}

/// A URL with a host. Shown without its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Without the login.
    text: String,
    host: String,
    login: Option<Login>,
    /// Up to here the path is as secret as a login; none if nothing of it is.
    veil: Option<usize>,
}

/// A text that is not a URL. It is not repeated here: nobody knows what of it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a URL such as https://HOST or https://HOST:PORT/PATH")]
pub struct NotAUrl;

impl Login {
    /// Reads `USER[:PASSWORD]` as it is in a URL.
    pub fn of(text: &str) -> Self {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Self { user: decoded(user), password: decoded(password) }
    }

    /// Reads `USER:PASSWORD` as it is; none if there is no colon or no user.
    pub fn plain(text: &str) -> Option<Self> {
        let (user, password) = text.split_once(':').filter(|(user, _)| !user.is_empty())?;
        Some(Self { user: user.to_owned(), password: password.to_owned() })
    }

    /// Hides it wherever somebody repeats it.
    pub fn keep(&self) {
        secrets::keep(&STANDARD.encode(format!("{}:{}", self.user, self.password)));
        // A token takes the place of the user.
        secrets::keep(if self.password.is_empty() { &self.user } else { &self.password });
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// As the value of an `Authorization` header.
    pub fn header(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// When there is no scheme or no host.
    pub fn parse(text: &str) -> Result<Self, NotAUrl> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or(NotAUrl)?;
        if scheme.is_empty() {
            return Err(NotAUrl);
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(Login::of(login)), place),
            None => (None, authority),
        };
        let text = format!("{scheme}://{place}{path}");
        let uri: Uri = text.parse().map_err(|_| NotAUrl)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(NotAUrl)?;
        // A port that is none was a part of a password.
        let port = place.rsplit_once(':').filter(|(_, port)| !port.contains(']'));
        if port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(NotAUrl);
        }
        Ok(Self { host: host.to_owned(), text, login, veil: None })
    }

    /// A URL whose path nobody may see either. What is secret of it is hidden from now on, even when
    /// somebody else repeats it.
    pub fn veiled(self) -> Self {
        let (before, query) = split_query(&self.text);
        let (path, root) = (before.trim_end_matches('/').len(), self.root().len());
        secrets::keep(&self.text[root..path.max(root)]);
        for (name, value) in
            query.iter().flat_map(|query| query.split('&')).filter_map(|p| p.split_once('='))
        {
            if is_secret_name(name) {
                secrets::keep(value);
                secrets::keep(&percent_decode_str(value).decode_utf8_lossy());
            }
        }
        self.login.iter().for_each(Login::keep);
        Self { veil: Some(path).filter(|path| *path > root), ..self }
    }

    /// Scheme, host and port.
    fn root(&self) -> &str {
        let after = self.text.find("://").map_or(0, |at| at + 3);
        let end = self.text[after..].find(['/', '?']).map_or(self.text.len(), |at| after + at);
        &self.text[..end]
    }

    /// The URL to connect to; its query may hold a secret.
    pub fn exposed(&self) -> &str {
        &self.text
    }

    /// The login that its own origin is sent.
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Whether something of it must not be shown.
    pub fn has_secrets(&self) -> bool {
        self.login.is_some() || matches!(redacted(&self.text), Cow::Owned(_))
    }

    /// In lower case, such as `https`.
    pub fn scheme(&self) -> String {
        self.text.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase()
    }

    /// Whether nobody on the way can read or change what is sent.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.scheme().as_str(), "https" | "wss")
    }

    /// Whether it leads to this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Whether it leads over a network without being encrypted.
    pub fn is_exposed_on_the_way(&self) -> bool {
        !self.is_encrypted() && !self.is_loopback()
    }

    /// Scheme, host and port, by which two URLs belong to one server.
    fn origin(&self) -> (String, String, u16) {
        let port = self.text.parse::<Uri>().ok().and_then(|uri| uri.port_u16());
        let usual = if self.is_encrypted() { 443 } else { 80 };
        (self.scheme(), self.host.to_ascii_lowercase(), port.unwrap_or(usual))
    }

    /// What is below it: a path, perhaps with a query, which begins with a slash.
    pub fn below(&self, path: &str) -> Self {
        let (base, own) = split_query(&self.text);
        let (path, more) = split_query(path);
        let queries: Vec<&str> = [more, own].into_iter().flatten().collect();
        let mut text = format!("{}{path}", base.trim_end_matches('/'));
        if !queries.is_empty() {
            text += &format!("?{}", queries.join("&"));
        }
        Self { text, ..self.clone() }
    }

    /// What is beside it: its path with something appended.
    pub fn beside(&self, ending: &str) -> Self {
        let (path, query) = split_query(&self.text);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Self { text: format!("{path}{ending}{query}"), ..self.clone() }
    }

    /// Where a redirect from here leads. A login goes along within the origin only.
    ///
    /// # Errors
    /// Why it is not followed.
    pub fn redirected(&self, location: &str) -> Result<Self, String> {
        // What comes after the path has begun may name another URL, and leads to none.
        let scheme = location.find("://").filter(|at| !location[..*at].contains(['/', '?', '#']));
        let text = if scheme.is_some() {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{}:{location}", self.scheme())
        } else if location.starts_with('/') {
            format!("{}{location}", self.root())
        } else {
            let before = split_query(&self.text).0;
            let folder = before.rfind('/').filter(|at| *at >= self.root().len());
            format!("{}/{location}", &before[..folder.unwrap_or(before.len())])
        };
        let wrong = |_| "redirects to something that is not a URL".to_owned();
        let to = Self { login: None, ..Self::parse(&text).map_err(wrong)? };
        match to.scheme().as_str() {
            "https" => {}
            "http" if !self.is_encrypted() => {}
            "http" => return Err(format!("redirects from https to unencrypted http ({to})")),
            other => return Err(format!("redirects to {other}://, which is not followed")),
        }
        let login = self.login.clone().filter(|_| to.origin() == self.origin());
        let veil = self.veil.filter(|end| to.text.starts_with(&self.text[..*end]));
        Ok(Self { login, veil, ..to })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.veil {
            Some(end) => format!("{}/{HIDDEN}{}", self.root(), &self.text[end..]).into(),
            None => Cow::Borrowed(&*self.text),
        };
        let shown = redacted(&text);
        match (&self.login, shown.split_once("://")) {
            (Some(_), Some((scheme, rest))) => write!(f, "{scheme}://{HIDDEN}@{rest}"),
            _ => f.write_str(&shown),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query).filter(|query| !query.is_empty())),
        None => (text, None),
    }
}

/// Whether a host, as in a URL, is this machine: `localhost` or an address of loopback. For names below
/// `localhost` a resolver may answer with any address.
pub fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" {
        return true;
    }
    match address(host) {
        Some(IpAddr::V4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(IpAddr::V6(address)) => {
            let mapped = address.to_ipv4_mapped();
            address.is_loopback()
                || address == Ipv6Addr::UNSPECIFIED
                || mapped.is_some_and(|mapped| mapped.is_loopback())
        }
        None => false,
    }
}

/// The address that a host of a URL is.
pub(super) fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A text without the logins and secret parameters of the URLs in it, and without what looks like
/// `USER:PASSWORD@` elsewhere.
pub fn redacted(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        let end = url.find(|c: char| c.is_whitespace() || matches!(c, '"' | '<' | '>' | '`'));
        let (url, after) = url.split_at(end.unwrap_or(url.len()));
        hide_logins(before, &mut shown);
        redact(url, &mut shown);
        rest = after;
    }
    hide_logins(rest, &mut shown);
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

/// An address as somebody typed it, also one without a scheme, without its secrets.
pub fn redacted_address(text: &str) -> Cow<'_, str> {
    if text.contains("://") {
        return redacted(text);
    }
    let mut shown = String::new();
    redact(text, &mut shown);
    if shown == text { Cow::Borrowed(text) } else { Cow::Owned(shown) }
}

/// Appends a text without URLs, as far as it may be shown.
fn hide_logins(text: &str, shown: &mut String) {
    let between = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ',');
    for word in text.split_inclusive(between) {
        match word.rsplit_once('@') {
            Some((login, place)) if login.contains(':') => shown.extend([HIDDEN, "@", place]),
            _ => shown.push_str(word),
        }
    }
}

/// Appends what follows `://` of one URL, as far as it may be shown.
fn redact(url: &str, shown: &mut String) {
    let (before, query) = match url.find(['?', '#']) {
        Some(at) => (&url[..at], &url[at..]),
        None => (url, ""),
    };
    let authority = before.find('/').unwrap_or(before.len());
    // A password may hold a slash, and then its beginning looks like a port; channels of venues hold an
    // @ in their paths (btcusdt@trade).
    let begins = &before[..authority];
    let port = begins.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    let cut = port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit()));
    let login = match begins.rfind('@') {
        None if cut => before.rfind('@'),
        login => login,
    };
    let place = match login {
        Some(at) => {
            shown.extend([HIDDEN, "@"]);
            &before[at + 1..]
        }
        None => before,
    };
    // Segments of a path may have parameters; where one is secret, its value may hold a slash.
    let secret = place.match_indices(['/', ';', '&']).find_map(|(at, _)| {
        let (name, value) = place[at + 1..].split_once('=')?;
        let is_named = !name.contains(['/', ';', '&']) && is_secret_name(name) && !value.is_empty();
        is_named.then(|| at + 1 + name.len() + 1)
    });
    match secret {
        Some(value) => shown.extend([&place[..value], HIDDEN]),
        None => shown.push_str(place),
    }
    let mut query = query;
    while !query.is_empty() {
        // A mark (?, #, & or ;) and a parameter.
        let end = query[1..].find(['&', ';', '#']).map_or(query.len(), |at| at + 1);
        let (parameter, rest) = query.split_at(end);
        match parameter.split_once('=') {
            Some((name, value)) if is_secret_name(name) && !value.is_empty() => {
                shown.extend([name, "=", HIDDEN]);
            }
            _ => shown.push_str(parameter),
        }
        query = rest;
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
    SECRET_NAMES.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn logins_and_secret_parameters_are_hidden_and_nothing_else() {
        for (text, shown) in [
            ("http://user:s3cret@h:1/x", "http://***@h:1/x"),
            ("could not get https://s3cret@h/ (why)", "could not get https://***@h/ (why)"),
            ("https://u:s3c/ret@h/x", "https://***@h/x"),
            ("https://u:s3c@ret@h", "https://***@h"),
            ("wss://h/ws?api_key=s3cret&x=1", "wss://h/ws?api_key=***&x=1"),
            ("https://h/a;v=1;password=s3/cret/b;c?x=1", "https://h/a;v=1;password=***?x=1"),
            ("https://h/apikey=s3cret", "https://h/apikey=***"),
            ("https://h/?x=1;TOKEN=s3cret#a", "https://h/?x=1;TOKEN=***#a"),
            ("https://h/a#access_token=s3cret", "https://h/a#access_token=***"),
            ("https://h/a?X-Amz-Signature=s3cret", "https://h/a?X-Amz-Signature=***"),
            ("https://h/a?api%5Fkey=s3cret", "https://h/a?api%5Fkey=***"),
            ("a://u:s3cret@b and c://v:s3cret@d", "a://***@b and c://***@d"),
            ("\"kafka://u:s3cret@h/t\" is wrong", "\"kafka://***@h/t\" is wrong"),
            ("hosts:1: \"u:s3cret@h:1\" is not", "hosts:1: \"***@h:1\" is not"),
            ("'u:s3c/ret@h,v:s3cret@i'", "'***@h,***@i'"),
        ] {
            assert_eq!(redacted(text), shown);
        }
        for text in [
            "wss://stream.binance.com:9443/stream?streams=btcusdt@trade/ethusdt@trade",
            "wss://stream.binance.com:9443/ws/btcusdt@trade",
            "https://h/?prefix=data/x/&marker=data/y&limit=1000&fromId=3",
            "http://[::1]:9000/x@y",
            "mail me@example.com: no URL",
            "",
        ] {
            assert_eq!(redacted(text), text);
        }
        assert_eq!(redacted_address("user:s3cret@h:1"), "***@h:1");
        assert_eq!(redacted_address("ws://user:s3cret@h:1"), "ws://***@h:1");
        assert_eq!(redacted_address("h/?token=s3cret"), "h/?token=***");
        assert_eq!(redacted_address("u:s3/cret@h"), "***@h");
        assert_eq!(redacted_address("h:1"), "h:1");
    }

    #[test]
    fn a_url_keeps_its_login_for_the_header() {
        let url = Url::parse("https://me:p%40ss@h:8443/base/?token=t0p").unwrap();
        assert_eq!(url.exposed(), "https://h:8443/base/?token=t0p");
        assert_eq!(url.to_string(), "https://***@h:8443/base/?token=***");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert_eq!(url.login().unwrap().header(), format!("Basic {}", STANDARD.encode("me:p@ss")));
        assert!(!format!("{:?}", url.login()).contains("ss"), "{:?}", url.login());
        assert_eq!(url.below("/a?x=1").exposed(), "https://h:8443/base/a?x=1&token=t0p");
        let veiled = url.clone().veiled();
        assert_eq!(veiled.below("/a@b").to_string(), "https://***@h:8443/***/a@b?token=***");
        assert_eq!(veiled.redirected("/base/c").unwrap().to_string(), "https://***@h:8443/***/c");
        assert_eq!(Url::parse("wss://h/").unwrap().veiled().to_string(), "wss://h/");
        assert_eq!(url.beside(".x").exposed(), "https://h:8443/base/.x?token=t0p");
        assert!(url.has_secrets() && url.is_encrypted() && !url.is_loopback());
        let plain = Url::parse("ws://127.0.0.1:9").unwrap();
        assert!(!plain.has_secrets() && plain.is_loopback() && !plain.is_exposed_on_the_way());
        assert_eq!(plain.below("/ws/a@b").exposed(), "ws://127.0.0.1:9/ws/a@b");
        for text in ["", "h", "://h", "http://", "http://u:p@", "http://u:p/w@h", "http://a b"] {
            assert_eq!(Url::parse(text), Err(NotAUrl), "{text}");
        }
    }

    #[test]
    fn redirects_keep_encryption_and_logins_stay_with_their_origin() {
        let from = Url::parse("https://me:pw@h/a/b?x=1").unwrap();
        for (location, to, login) in [
            ("https://h/c", "https://h/c", true),
            ("https://H:443/c", "https://H:443/c", true),
            ("/c?y=2", "https://h/c?y=2", true),
            ("c", "https://h/a/c", true),
            ("//other/c", "https://other/c", false),
            ("https://h:444/c", "https://h:444/c", false),
            ("https://u:v@other/c", "https://other/c", false),
            ("/c?u=http://y", "https://h/c?u=http://y", true),
            ("c?u=http://y/z", "https://h/a/c?u=http://y/z", true),
        ] {
            let found = from.redirected(location).unwrap();
            assert_eq!((found.exposed(), found.login().is_some()), (to, login), "{location}");
        }
        for location in ["http://h/c", "file:///etc/passwd", "https://", "ftp://h/"] {
            assert!(from.redirected(location).is_err(), "{location}");
        }
        let plain = Url::parse("http://h").unwrap();
        assert_eq!(plain.redirected("x").unwrap().exposed(), "http://h/x");
        assert!(plain.redirected("https://h/x").unwrap().redirected("http://h/x").is_err());
    }

    #[test]
    fn only_localhost_and_addresses_of_loopback_are_this_machine() {
        for host in ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "0.0.0.0", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        // A resolver may have names below localhost answered by anybody.
        for host in ["a.localhost", "localhost.evil", "xlocalhost", "10.0.0.1", "[2001:db8::1]", ""]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_login_is_ever_shown(
            user in "[a-z]{0,4}",
            password in "[A-Z!$'()*+,:;=@%.-]{4,12}",
            host in "[a-z]{1,8}",
            around in "[a-z ]{0,6}",
        ) {
            let text = format!("{around} https://{user}:{password}@{host}/x {around}");
            prop_assert!(!redacted(&text).contains(&password));
            if let Ok(url) = Url::parse(text.trim()) {
                prop_assert!(!url.to_string().contains(&password));
                prop_assert!(!url.exposed().contains(&password));
            }
        }
    }
}
