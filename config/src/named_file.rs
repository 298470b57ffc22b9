//! A file that the configuration names: what is found wrong in it is told with the key that names
//! it.

use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, Severity};

/// The path of a file, and where the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    path: PathBuf,
    /// A finding that says nothing yet.
    at: Box<Diagnostic>,
}

impl NamedFile {
    pub(crate) fn new(path: PathBuf, at: Diagnostic) -> Self {
        let at = Box::new(at);
        Self { path, at }
    }

    /// A file that no configuration names: findings speak of `path` alone.
    pub fn unnamed(path: PathBuf) -> Self {
        let at = Diagnostic {
            severity: Severity::Error,
            file: None,
            line: 0,
            key: path.display().to_string(),
            value: None,
            problem: String::new(),
            remedy: String::new(),
        };
        Self::new(path, at)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key that names it, in full.
    pub fn key(&self) -> &str {
        &self.at.key
    }

    /// What is found wrong in it.
    pub fn finding(
        &self,
        severity: Severity,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            severity,
            problem: problem.into(),
            remedy: remedy.into(),
            ..(*self.at).clone()
        }
    }
}
