//! Whose certificates are trusted: those that the system trusts, and those of a file. Websockets, REST and
//! downloads trust the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use barflow_replay::files;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Certificates that cannot be trusted because they are not there.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read, or holds none.
    #[error("ca_file \"{}\" {what}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The system trusts nobody.
    #[error(
        "this system has no trusted certificates ({what}): install them (Debian: ca-certificates), or \
         name a file with ca_file (--ca-file) or SSL_CERT_FILE"
    )]
    Nobody {
        /// What was tried.
        what: String,
    },
    /// The library refuses them.
    #[error("TLS cannot be set up: {0}")]
    Refused(#[from] rustls::Error),
}

/// Trusted certificates.
#[derive(Clone)]
pub struct Trust {
    rest: TlsConfig,
    websocket: Arc<ClientConfig>,
}

impl Trust {
    /// Those of the system, and those of a file in PEM form if one is given.
    ///
    /// # Errors
    /// When there are none, or the file cannot be used.
    pub fn of(file: Option<&Path>) -> Result<Self, TrustError> {
        let system = rustls_native_certs::load_native_certs();
        let mut certificates = system.certs;
        match file {
            Some(path) => certificates.extend(read(path)?),
            None if certificates.is_empty() => {
                let errors: Vec<String> = system.errors.iter().map(ToString::to_string).collect();
                let what = if errors.is_empty() { "none found".into() } else { errors.join("; ") };
                return Err(TrustError::Nobody { what });
            }
            None => {}
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let websocket = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let owned = |der: &CertificateDer<'_>| Certificate::from_der(der).to_owned();
        let roots = RootCerts::Specific(Arc::new(certificates.iter().map(owned).collect()));
        let rest = TlsConfig::builder().root_certs(roots).build();
        Ok(Self { rest, websocket: Arc::new(websocket) })
    }

    /// As the REST client wants it.
    pub fn for_rest(&self) -> TlsConfig {
        self.rest.clone()
    }

    /// As websockets want it.
    pub fn for_websocket(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.websocket)
    }
}

/// Bytes of a file of certificates that are read: those of a system have a quarter of a million.
const LONGEST: u64 = 16 << 20;

/// The certificates of a file.
fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let wrong = |what: String| TrustError::File { path: path.to_owned(), what };
    let text = files::read_text(path, LONGEST)
        .map_err(|error| wrong(format!("could not be read: {error}")))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|error| wrong(format!("is not in PEM form: {error}")))?;
    let mut roots = RootCertStore::empty();
    for (certificate, number) in found.iter().zip(1..) {
        let added = roots.add(certificate.clone());
        added.map_err(|error| {
            wrong(format!("holds a certificate (number {number}) that cannot be used: {error}"))
        })?;
    }
    match found.is_empty() {
        true => Err(wrong("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned())),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let said = || Trust::of(Some(&path)).err().unwrap().to_string();
        assert!(said().contains("ca.pem") && said().contains("could not be read"), "{}", said());
        std::fs::write(&path, "nothing").unwrap();
        assert!(said().contains("holds no certificate"), "{}", said());
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, junk).unwrap();
        assert!(said().contains("number 1"), "{}", said());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&path, own.cert.pem()).unwrap();
        assert!(Trust::of(Some(&path)).is_ok());
    }
}
