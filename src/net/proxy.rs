//! Proxies named by the environment, for websockets, REST and downloads alike.
//!
//! `HTTPS_PROXY` applies to `https://` and `wss://`, `HTTP_PROXY` to `http://` and `ws://`, `ALL_PROXY`
//! to both where the other is not set; lower-case names come first, as in curl. `NO_PROXY` lists the
//! exceptions. Loopback addresses are never reached through a proxy.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

use super::url::{Login, address, is_loopback};

/// A proxy that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {what}")]
pub struct ProxyError {
    /// Which variable names it.
    pub variable: String,
    /// What is wrong with it; never its password.
    pub what: String,
}

/// What the environment says of proxies.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    https: Option<Setting>,
    http: Option<Setting>,
    exceptions: Vec<String>,
}

/// A variable and its value.
#[derive(Clone)]
struct Setting {
    variable: &'static str,
    value: String,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may hold a password.
        f.write_str(self.variable)
    }
}

/// A proxy that connects us to a host by `CONNECT`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    variable: &'static str,
    host: String,
    port: u16,
    login: Option<Login>,
}

impl Proxies {
    /// Those of this process's environment.
    pub fn of_environment() -> Self {
        Self::of(&|name| std::env::var(name).ok())
    }

    /// Those of these variables.
    pub fn of(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 4]| {
            names.into_iter().find_map(|name| {
                let value = variable(name).filter(|value| !value.trim().is_empty())?;
                Some(Setting { variable: name, value: value.trim().to_owned() })
            })
        };
        let exceptions = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
        let separated = exceptions.split(|c: char| c == ',' || c.is_whitespace());
        Self {
            https: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: first(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            exceptions: separated.filter(|text| !text.is_empty()).map(str::to_lowercase).collect(),
        }
    }

    /// The proxy on the way to a URL, if there is one.
    ///
    /// # Errors
    /// When the variable names a proxy that cannot be used.
    pub fn for_url(&self, url: &str) -> Result<Option<Proxy>, ProxyError> {
        let Ok(uri) = url.parse::<Uri>() else { return Ok(None) };
        let Some(host) = uri.host() else { return Ok(None) };
        let secure = matches!(uri.scheme_str(), Some("https" | "wss"));
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let setting = if secure { &self.https } else { &self.http };
        let excepted = is_loopback(host) || self.exceptions.iter().any(|e| covers(e, host, port));
        setting.as_ref().filter(|_| !excepted).map(Setting::read).transpose()
    }
}

impl Setting {
    fn read(&self) -> Result<Proxy, ProxyError> {
        let variable = self.variable;
        let wrong =
            |what: &str| ProxyError { variable: variable.to_owned(), what: what.to_owned() };
        let (scheme, rest) = self.value.split_once("://").unwrap_or(("http", &self.value));
        let form = "not a proxy of the form http://HOST:PORT (with USER:PASSWORD@ before HOST, if it asks for a login)";
        if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            // A part of a password, perhaps.
            return Err(wrong(form));
        }
        if !scheme.eq_ignore_ascii_case("http") {
            let what = format!(
                "a proxy with the scheme {scheme}:// cannot be used; only http://HOST:PORT (CONNECT)"
            );
            return Err(wrong(&what));
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if path.contains('@') {
            return Err(wrong(form));
        }
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let uri: Uri = format!("http://{place}/").parse().map_err(|_| wrong(form))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong(form))?;
        let login = login.map(Login::of);
        login.iter().for_each(Login::keep);
        let port = uri.port_u16().unwrap_or(80);
        Ok(Proxy { variable, host: host.to_owned(), port, login })
    }
}

impl Proxy {
    /// Where it is: a host (an IPv6 address without brackets) and a port.
    pub fn address(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }

    /// The request for a connection to `host:port`.
    pub fn connect_request(&self, target: &str) -> String {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(login) = &self.login {
            request += &format!("Proxy-Authorization: {}\r\n", login.header());
        }
        request + "\r\n"
    }

    /// As the REST client wants it.
    ///
    /// # Errors
    /// When the client cannot use it.
    pub fn for_rest(&self) -> Result<ureq::Proxy, ProxyError> {
        let mut proxy =
            ureq::Proxy::builder(ureq::ProxyProtocol::Http).host(&self.host).port(self.port);
        if let Some(login) = &self.login {
            proxy = proxy.username(login.user()).password(login.password());
        }
        proxy.build().map_err(|error| {
            let (variable, what) = (self.variable.to_owned(), error.to_string());
            ProxyError { variable, what }
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy http://{}:{} ({})", self.host, self.port, self.variable)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether an entry of `NO_PROXY` covers a host: `*`, a name with all below it, an address, a network
/// such as 10.0.0.0/8, each perhaps with a port.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if entry == "*" {
        return true;
    }
    if let (Some(wanted), Some(address)) = (address(entry), address(&host)) {
        return wanted == address;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let network = network.parse().ok().zip(bits.parse().ok());
        return network
            .zip(address(&host))
            .is_some_and(|((network, bits), a)| within(network, bits, a));
    }
    let (name, only) = match entry.rsplit_once(':') {
        Some((name, text)) if !name.contains(':') || name.ends_with(']') => {
            match text.parse::<u16>() {
                Ok(only) => (name, Some(only)),
                Err(_) => (entry, None),
            }
        }
        _ => (entry, None),
    };
    if only.is_some_and(|only| only != port) {
        return false;
    }
    let name = name.trim_start_matches("*.").trim_start_matches('.');
    let below = || host.strip_suffix(name).is_some_and(|before| before.ends_with('.'));
    !name.is_empty() && (host == name || below())
}

/// Whether an address lies in a network.
fn within(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(network) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(network) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let of = |name: &str| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        Proxies::of(&of)
    }

    fn chosen(variables: &[(&str, &str)], url: &str) -> Option<String> {
        proxies(variables).for_url(url).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn websockets_and_rest_of_a_scheme_take_the_same_way() {
        let both = [("HTTPS_PROXY", "http://a:1"), ("HTTP_PROXY", "b:2")];
        for (url, wanted) in [
            ("https://api.binance.com", "proxy http://a:1 (HTTPS_PROXY)"),
            ("wss://stream.binance.com:9443/x", "proxy http://a:1 (HTTPS_PROXY)"),
            ("http://venue.example", "proxy http://b:2 (HTTP_PROXY)"),
            ("ws://venue.example:80/x", "proxy http://b:2 (HTTP_PROXY)"),
        ] {
            assert_eq!(chosen(&both, url).as_deref(), Some(wanted));
        }
        let all =
            [("ALL_PROXY", "http://c"), ("http_proxy", "http://d:4"), ("HTTP_PROXY", "http://e")];
        assert_eq!(chosen(&all, "wss://v.example").unwrap(), "proxy http://c:80 (ALL_PROXY)");
        assert_eq!(chosen(&all, "ws://v.example").unwrap(), "proxy http://d:4 (http_proxy)");
        assert_eq!(chosen(&[("HTTPS_PROXY", "")], "wss://v.example"), None);
        assert_eq!(chosen(&[], "wss://v.example"), None);
    }

    #[test]
    fn this_machine_and_exceptions_are_reached_directly() {
        let all = ("ALL_PROXY", "http://p:1");
        for url in [
            "ws://127.0.0.1:9000",
            "http://127.9.9.9",
            "ws://localhost:1",
            "ws://[::1]:9000",
            "http://0.0.0.0:9",
            "http://[::ffff:127.0.0.1]:9",
        ] {
            assert_eq!(chosen(&[all], url), None, "{url}");
        }
        for (exceptions, url, direct) in [
            ("*", "https://x.example", true),
            ("x.example", "https://x.example", true),
            ("example", "https://x.example", true),
            (".x.example, other", "https://www.X.example", true),
            ("*.x.example", "https://www.x.example", true),
            ("ample", "https://x.example", false),
            ("x.example:443", "https://x.example", true),
            ("x.example:8443", "https://x.example", false),
            ("10.0.0.0/8", "https://10.2.3.4", true),
            ("10.0.0.0/8", "https://11.2.3.4", false),
            ("0.0.0.0/0", "https://11.2.3.4", true),
            ("fd00::/8", "https://[fd00::7]:1", true),
            ("fd00::7", "https://[fd00::7]:1", true),
            ("fd00::7", "https://[fd00::8]:1", false),
            ("10.2.3.4", "https://10.2.3.4", true),
            (",, ", "https://x.example", false),
        ] {
            let found = chosen(&[all, ("NO_PROXY", exceptions)], url);
            assert_eq!(found.is_none(), direct, "{exceptions} {url}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
        for value in [
            "socks5://u:secret@h:1",
            "https://u:secret@h:1",
            "http://u:secret@",
            "http://u:secret@a b",
            "http://u:1/secret@h:1",
            "u:secret://x@h:1",
        ] {
            let error = proxies(&[("ALL_PROXY", value)]).for_url("wss://v.example").unwrap_err();
            let said = error.to_string();
            assert!(said.starts_with("ALL_PROXY: ") && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_login_is_sent_to_the_proxy_and_shown_to_nobody() {
        let proxies = proxies(&[("HTTPS_PROXY", "http://me:p%40ss@[fd00::1]:3128/")]);
        let proxy = proxies.for_url("wss://v.example").unwrap().unwrap();
        let login = STANDARD.encode("me:p@ss");
        assert_eq!(
            proxy.connect_request("v.example:443"),
            format!(
                "CONNECT v.example:443 HTTP/1.1\r\nHost: v.example:443\r\nProxy-Authorization: Basic {login}\r\n\r\n"
            )
        );
        assert_eq!(proxy.address(), ("fd00::1", 3128));
        assert!(!format!("{proxies:?} {proxy:?} {proxy}").contains("ss"), "{proxy:?}");
        assert!(proxy.for_rest().is_ok());
    }
}
