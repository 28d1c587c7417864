//! Which certificates a server is trusted by: those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else the system's, else - on a machine
//! that has none - Mozilla's, which the program carries.

use std::sync::Arc;

use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::{Error, Result};

/// Variables that name a file, and folders, of certificates.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Settings that trust those certificates.
pub(super) fn settings() -> Result<TlsConfig> {
    let named = VARIABLES.into_iter().find_map(|name| Some((name, std::env::var_os(name)?)));
    let found = rustls_native_certs::load_native_certs();
    found.errors.iter().for_each(|error| log::warn!("{error}"));
    if let Some((name, place)) = named.filter(|_| found.certs.is_empty()) {
        return Err(Error::out_of_range(name, place.display(), "a file or folder of certificates (PEM)"));
    }
    if found.certs.is_empty() {
        return Ok(TlsConfig::builder().root_certs(RootCerts::WebPki).build());
    }
    let roots: Vec<_> = found.certs.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build())
}
