//! The way to other machines: URLs and what of them may be shown, proxies, trusted certificates.

pub mod address;
pub mod proxy;
pub mod trust;
pub mod url;
pub mod waiting;
