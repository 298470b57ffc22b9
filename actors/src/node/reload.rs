//! Reading the configuration again, all or nothing.

use std::{path::Path, sync::Arc};

use config::Diagnostics;

use crate::{
    book::Book,
    shared::Shared,
    tls::{self, TlsError},
};

/// Takes from `file` what can be changed while the node runs.
///
/// # Errors
/// Every mistake in it and in the certificates that it names; nothing has changed then.
pub(super) fn reload(shared: &Shared, file: &Path) -> Result<(), Diagnostics> {
    let config = config::load(file)?.config;
    match tls::renew(shared, Some(&config)) {
        Ok(()) => {}
        Err(TlsError::Found(findings)) => return Err(findings),
        Err(error) => {
            let remedy = "name a certificate of yours in [tls]";
            return Err(Diagnostics::about_file(file, error.to_string(), remedy));
        }
    }
    let book = Book::new(&config, &shared.listeners);
    shared.registry.configure(book.registrar);
    shared.defences.set(&book.defence);
    shared.book.store(Arc::new(book));
    Ok(())
}
