//! One table of the file, read key by key; what nobody asked for is an error at the end.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::named_file::NamedFile;
use crate::nearest::nearest;
use crate::secret::Secret;

/// The file being read: its lines, its directory, and what was found wrong so far.
pub(crate) struct Page {
    file: Option<PathBuf>,
    directory: PathBuf,
    line_starts: Vec<usize>,
    findings: RefCell<Diagnostics>,
}

impl Page {
    pub(crate) fn new(text: &str, file: Option<&Path>) -> Self {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            file: file.map(Path::to_owned),
            directory: file
                .and_then(Path::parent)
                .map(Path::to_owned)
                .unwrap_or_default(),
            line_starts: std::iter::once(0)
                .chain(newlines.map(|(at, _)| at + 1))
                .collect(),
            findings: RefCell::default(),
        }
    }

    /// A path of the file: relative ones start at the file's own directory.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.directory.join(written)
    }

    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    pub(crate) fn push(&self, finding: Diagnostic) {
        self.findings.borrow_mut().push(finding);
    }

    /// An error at a byte of the text, without a key: the text is no TOML there.
    pub(crate) fn syntax(&self, at: Option<Range<usize>>, problem: String) {
        self.push(Diagnostic {
            severity: Severity::Error,
            file: self.file.clone(),
            line: at.map_or(0, |span| self.line_of(span.start)),
            key: String::new(),
            value: None,
            problem,
            remedy: "see https://toml.io for the syntax".to_owned(),
        });
    }

    pub(crate) fn into_findings(self) -> Diagnostics {
        let mut findings = self.findings.into_inner();
        findings.sort();
        findings
    }
}

/// A value that does not fit: what is wrong and what would be right.
pub(crate) struct Misfit {
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl Misfit {
    pub(crate) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

/// One table of a [`Page`].
pub(crate) struct Section<'p> {
    page: &'p Page,
    name: String,
    line: usize,
    entries: Vec<Entry<'p>>,
    known: Vec<&'static str>,
}

struct Entry<'p> {
    key: &'p str,
    line: usize,
    value: &'p DeValue<'p>,
    secret: bool,
}

impl<'p> Section<'p> {
    pub(crate) fn new(
        page: &'p Page,
        name: String,
        at: Range<usize>,
        table: &'p DeTable<'p>,
    ) -> Self {
        let mut entries: Vec<Entry<'p>> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref(),
                line: page.line_of(key.span().start),
                value: value.get_ref(),
                secret: false,
            })
            .collect();
        entries.sort_by_key(|entry| entry.line);
        Self {
            page,
            name,
            line: page.line_of(at.start),
            entries,
            known: Vec::new(),
        }
    }

    /// A section that the file does not have: every key takes its default.
    pub(crate) fn absent(page: &'p Page, name: &str) -> Self {
        Self {
            page,
            name: name.to_owned(),
            line: 0,
            entries: Vec::new(),
            known: Vec::new(),
        }
    }

    pub(crate) fn page(&self) -> &'p Page {
        self.page
    }

    /// Whether the file writes this key. Makes the key a known one.
    pub(crate) fn has(&mut self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Reads one key by `convert`; a misfit becomes a finding and the key counts as absent.
    pub(crate) fn read<T>(
        &mut self,
        key: &'static str,
        convert: impl FnOnce(&'p DeValue<'p>) -> Result<T, Misfit>,
    ) -> Option<T> {
        let value = self.value(key)?;
        match convert(value) {
            Ok(value) => Some(value),
            Err(misfit) => {
                self.error(key, misfit.problem, misfit.remedy);
                None
            }
        }
    }

    /// A string.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<&'p str> {
        self.read(key, string)
    }

    /// A string that `check` accepts.
    pub(crate) fn text_if(
        &mut self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<(), Misfit>,
    ) -> Option<&'p str> {
        self.read(key, |value| {
            let text = string(value)?;
            check(text).map(|()| text)
        })
    }

    /// A string that is never shown again.
    pub(crate) fn secret(&mut self, key: &'static str) -> Option<Secret> {
        self.hide(key);
        self.text_if(key, |text| {
            if text.is_empty() {
                return Err(Misfit::new(
                    "is empty",
                    "write the secret or remove the key",
                ));
            }
            Ok(())
        })
        .map(Secret::new)
    }

    /// From here on no finding shows the value of `key`.
    pub(crate) fn hide(&mut self, key: &'static str) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.secret = true;
        }
    }

    /// A file or directory name, relative to the file's directory.
    pub(crate) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text_if(key, |text| {
            if text.is_empty() {
                return Err(Misfit::new("is empty", "write a path or remove the key"));
            }
            Ok(())
        })
        .map(|text| self.page.path(text))
    }

    /// The name of a file that must be there.
    pub(crate) fn file(&mut self, key: &'static str) -> Option<NamedFile> {
        let path = self.path(key)?;
        if !path.is_file() {
            let remedy = format!("put it at {}", path.display());
            self.error(key, "there is no such file", remedy);
        }
        let nothing = Misfit::new("", "");
        let at = self.finding(Severity::Error, key, None, nothing);
        Some(NamedFile::new(path, at))
    }

    /// The tables of a list of tables, `[[section.key]]`.
    pub(crate) fn tables(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let elements = value.as_array().map(|elements| elements.iter());
        let mut tables = Vec::new();
        for (index, element) in elements.into_iter().flatten().enumerate() {
            if let DeValue::Table(table) = element.get_ref() {
                let name = format!("{}.{key}[{}]", self.name, index + 1);
                tables.push(Self::new(self.page, name, element.span(), table));
            }
        }
        if value.as_array().is_none_or(|all| all.len() != tables.len()) {
            let remedy = format!("write it as [[{}.{key}]]", self.name);
            self.error(key, "has the wrong shape", remedy);
        }
        tables
    }

    /// A string that reads as `T`; `shape` says what one looks like.
    pub(crate) fn parsed<T: FromStr>(&mut self, key: &'static str, shape: &str) -> Option<T> {
        self.read(key, |value| parse(string(value)?, shape))
    }

    /// One of a closed list of words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.read(key, |value| {
            let text = string(value)?;
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, meaning)| *meaning).ok_or_else(|| {
                let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Misfit::new("is not a known word", one_of(text, &all))
            })
        })
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, |value| {
            value
                .as_bool()
                .ok_or_else(|| wrong_type(value, "true or false, without quotes"))
        })
    }

    /// A whole number in `range`.
    pub(crate) fn number(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        self.read(key, |value| {
            let remedy = || {
                format!(
                    "write a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            };
            let integer = value
                .as_integer()
                .ok_or_else(|| wrong_type(value, &remedy()))?;
            u32::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .filter(|number| range.contains(number))
                .ok_or_else(|| Misfit::new("is out of range", remedy()))
        })
    }

    /// A list of strings that each read as `T`. Every bad element is reported.
    pub(crate) fn list<T: FromStr>(&mut self, key: &'static str, shape: &str) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let Some(elements) = value.as_array() else {
            let misfit = wrong_type(value, &format!("a list of strings: [\"{shape}\"]"));
            self.error(key, misfit.problem, misfit.remedy);
            return None;
        };
        let mut list = Vec::with_capacity(elements.len());
        for element in elements.iter() {
            match string(element.get_ref()).and_then(|text| parse(text, shape)) {
                Ok(value) => list.push(value),
                Err(misfit) => {
                    self.complain(Severity::Error, key, Some(element), misfit);
                }
            }
        }
        Some(list)
    }

    /// Reports an error at `key`, or at the section when the file does not write the key.
    pub(crate) fn error(&self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.complain(Severity::Error, key, None, Misfit::new(problem, remedy));
    }

    /// Reports a warning likewise.
    pub(crate) fn warn(&self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        self.complain(Severity::Warning, key, None, Misfit::new(problem, remedy));
    }

    /// Reports the keys that nobody asked for. Call after the last read.
    pub(crate) fn refuse_unknown(&self) {
        for entry in &self.entries {
            if !self.known.contains(&entry.key) {
                let remedy = one_of(entry.key, &self.known);
                self.error(entry.key, "unknown key", remedy);
            }
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'p DeValue<'p>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value)
    }

    fn complain(
        &self,
        severity: Severity,
        key: &str,
        element: Option<&Spanned<DeValue<'_>>>,
        misfit: Misfit,
    ) {
        self.page.push(self.finding(severity, key, element, misfit));
    }

    fn finding(
        &self,
        severity: Severity,
        key: &str,
        element: Option<&Spanned<DeValue<'_>>>,
        misfit: Misfit,
    ) -> Diagnostic {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!("{}.", self.name)
        };
        Diagnostic {
            severity,
            file: self.page.file.clone(),
            line: match (element, entry) {
                (Some(element), _) => self.page.line_of(element.span().start),
                (None, Some(entry)) => entry.line,
                (None, None) => self.line,
            },
            key: if key.is_empty() {
                self.name.clone()
            } else {
                format!("{name}{key}")
            },
            value: match (element, entry) {
                (Some(element), _) => shown(element.get_ref()),
                (None, Some(entry)) if !entry.secret => shown(entry.value),
                (None, _) => None,
            },
            problem: misfit.problem,
            remedy: misfit.remedy,
        }
    }
}

fn string<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Misfit> {
    value
        .as_str()
        .ok_or_else(|| wrong_type(value, "a string in double quotes"))
}

fn parse<T: FromStr>(text: &str, shape: &str) -> Result<T, Misfit> {
    text.parse().map_err(|_| {
        Misfit::new(
            "cannot be read",
            format!("write it in the form \"{shape}\""),
        )
    })
}

fn wrong_type(value: &DeValue<'_>, wanted: &str) -> Misfit {
    let wanted = wanted.strip_prefix("write ").unwrap_or(wanted);
    Misfit::new(
        format!("is of type {}", value.type_str()),
        format!("write {wanted}"),
    )
}

/// The remedy for a word that is none of `known`.
pub(crate) fn one_of(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// A scalar as written, cut to what fits on a line; tables and lists speak by their line alone.
fn shown(value: &DeValue<'_>) -> Option<String> {
    const SHOWN_MAX: usize = 60;
    let number;
    let scalar: &dyn Display = match value {
        DeValue::String(text) => {
            let cut: String = text.chars().take(SHOWN_MAX).collect();
            let tail = if cut.len() < text.len() { "…" } else { "" };
            return Some(format!("{cut:?}{tail}"));
        }
        DeValue::Integer(integer) => {
            number = integer.as_str();
            &number
        }
        DeValue::Float(float) => {
            number = float.as_str();
            &number
        }
        DeValue::Boolean(flag) => flag,
        DeValue::Datetime(time) => time,
        DeValue::Array(_) | DeValue::Table(_) => return None,
    };
    Some(scalar.to_string())
}
