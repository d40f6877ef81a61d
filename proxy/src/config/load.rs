//! Reads file and variables, one layer at a time, so that a mistake can name where it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, File, FileFormat, Source, Value, ValueKind};
use serde_json::Value as Json;
use thiserror::Error;

use super::raw::{self, RawConfig};
use super::{Config, check};
use crate::suggest;

/// The configuration cannot be used. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct InvalidConfig {
    /// The key, such as `shadow.queue`; empty when the whole file cannot be read.
    pub key: String,
    /// What is wrong, or what a value must be.
    pub rule: String,
    /// The file or variable it stands in; where it may be set when it stands nowhere.
    pub place: String,
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, rule, place } = self;
        if key.is_empty() { write!(f, "{place}: {rule}") } else { write!(f, "{place}: `{key}` {rule}") }
    }
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file; `None`: `strangler.toml` in the current folder, if there is one.
    pub file: Option<PathBuf>,
    /// The process's variables; those with another prefix are left alone.
    pub variables: BTreeMap<String, String>,
}

impl Sources {
    /// The file given on the command line, and this process's variables.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { file, variables: variables.collect() }
    }
}

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "strangler.toml";
/// What the names of our variables begin with.
const PREFIX: &str = "STRANGLER__";

/// Reads and checks the configuration. Relative paths count from the file's folder.
///
/// # Errors
/// [`InvalidConfig`] for the first mistake.
pub fn load(sources: &Sources) -> Result<Config, InvalidConfig> {
    let mut layers = Vec::new();
    let file = match &sources.file {
        Some(path) => Some(path.clone()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    if let Some(path) = &file {
        layers.push(Layer::of_file(path)?);
    }
    for (name, value) in &sources.variables {
        if name.to_ascii_uppercase().starts_with(PREFIX) {
            layers.push(Layer::of_variable(name, value)?);
        }
    }
    let mut builder = config::Config::builder();
    for layer in &layers {
        builder = builder.add_source(layer.clone());
    }
    let whole = Layer { place: "the configuration".to_owned(), values: BTreeMap::new() };
    let merged = builder.build().map_err(|error| whole.mistake(&error))?;
    let raw: RawConfig = merged.try_deserialize().map_err(|error| whole.mistake(&error))?;
    let places = Places { layers, default: file.as_deref().unwrap_or(Path::new(DEFAULT_FILE)).to_owned() };
    let folder = file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
    check::check(raw, &folder).map_err(|(key, rule)| InvalidConfig { place: places.of(&key), key, rule })
}

/// One source whose mistakes have one place.
#[derive(Debug, Clone)]
struct Layer {
    place: String,
    values: BTreeMap<String, Value>,
}

impl Layer {
    fn of_file(path: &Path) -> Result<Self, InvalidConfig> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| InvalidConfig {
            key: String::new(),
            rule: format!("cannot be read: {error}"),
            place: place.clone(),
        })?;
        Self::of(place, &File::from_str(&text, FileFormat::Toml))
    }

    fn of_variable(name: &str, value: &str) -> Result<Self, InvalidConfig> {
        let source = Environment::with_prefix("STRANGLER").prefix_separator("__").separator("__");
        let only = config::Map::from_iter([(name.to_owned(), value.to_owned())]);
        Self::of(format!("variable {name}"), &source.source(Some(only)))
    }

    /// Collects a source, and checks its keys and their shapes.
    fn of(place: String, source: &dyn Source) -> Result<Self, InvalidConfig> {
        let layer = Self { place, values: BTreeMap::new() };
        // A variable names its key with dots, a file has tables: the builder makes tables of both.
        let one = config::Config::builder().add_source(vec![source.clone_into_box()]).build();
        let one = one.map_err(|error| layer.mistake(&error))?;
        let values = one.collect().map_err(|error| layer.mistake(&error))?;
        layer.refuse_unknown(&values, &raw::known(), "")?;
        one.try_deserialize::<RawConfig>().map_err(|error| layer.mistake(&error))?;
        Ok(Self { values: values.into_iter().collect(), ..layer })
    }

    fn refuse_unknown(
        &self,
        values: &config::Map<String, Value>,
        known: &Json,
        above: &str,
    ) -> Result<(), InvalidConfig> {
        let names = || known.as_object().into_iter().flat_map(|keys| keys.keys().map(String::as_str));
        for (name, value) in values {
            let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
            let mistake = |rule: String| InvalidConfig { key: key.clone(), rule, place: self.place.clone() };
            match (known.get(name), &value.kind) {
                (None, _) => {
                    return Err(mistake(format!("is not a key of strangler: {}", suggest::or_all(name, "", names()))));
                }
                (Some(inner @ Json::Object(_)), ValueKind::Table(table)) => self.refuse_unknown(table, inner, &key)?,
                (Some(Json::Object(_)), _) => return Err(mistake("is a section, not a value".to_owned())),
                (Some(_), ValueKind::Table(_)) => return Err(mistake("is a value, not a section".to_owned())),
                (Some(_), _) => {}
            }
        }
        Ok(())
    }

    /// What the parser found, without the value it found it in.
    fn mistake(&self, error: &ConfigError) -> InvalidConfig {
        let (key, rule) = match error {
            ConfigError::Type { expected, key, .. } => (key.clone().unwrap_or_default(), format!("must be {expected}")),
            ConfigError::At { error, key, .. } => {
                let inner = self.mistake(error);
                let key = key.clone().filter(|_| inner.key.is_empty()).unwrap_or(inner.key);
                (key, inner.rule)
            }
            ConfigError::FileParse { cause, .. } => {
                (String::new(), format!("is not TOML: {}", without_excerpt(&cause.to_string())))
            }
            ConfigError::NotFound(key) => (key.clone(), "is missing".to_owned()),
            // The texts of the others may hold values.
            _ => (String::new(), "holds a value of another kind than its key takes".to_owned()),
        };
        InvalidConfig { key, rule, place: self.place.clone() }
    }

    fn has(&self, key: &str) -> bool {
        let mut parts = key.split('.');
        let first = parts.next().and_then(|part| self.values.get(part));
        let found = parts.try_fold(first, |value, part| match value.map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => Some(table.get(part)),
            _ => None,
        });
        found.flatten().is_some()
    }
}

/// First and last line of the parser's text: between them stands the line of the file, which may hold a secret.
fn without_excerpt(text: &str) -> String {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or("cannot be parsed");
    lines.next_back().map_or_else(|| first.to_owned(), |last| format!("{first}: {last}"))
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<config::Map<String, Value>, ConfigError> {
        Ok(self.values.clone().into_iter().collect())
    }
}

/// Where each key is set.
struct Places {
    layers: Vec<Layer>,
    default: PathBuf,
}

impl Places {
    /// The last layer that has the key; for one that is set nowhere, where it can be set.
    fn of(&self, key: &str) -> String {
        let set = self.layers.iter().rev().find(|layer| layer.has(key));
        set.map_or_else(
            || format!("{} or variable {PREFIX}{}", self.default.display(), key.to_uppercase().replace('.', "__")),
            |layer| layer.place.clone(),
        )
    }
}
