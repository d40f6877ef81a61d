//! Reads the contract, `schema.graphql`, and refuses it with every mistake at once.
//!
//! Why: the file is the only place where types, homes and operations are described, so it must be
//! impossible to start with one that contradicts itself. What [`load`] returns is consistent.
//!
//! Steps: the GraphQL compiler parses and validates (with our directives added) → entity types →
//! roots and links → the schema that clients see, without our directives.
//!
//! Not here: whether the databases have these tables (`strangler check`).

mod changed;
mod client;
mod column;
mod compare;
mod directive;
mod entity;
mod errors;
mod own_key;
mod reader;
mod root;
mod saga;
mod source;
mod sql;
mod storage;
pub mod suggest;
mod write;

use std::sync::Arc;

use apollo_compiler::Schema;
use apollo_compiler::validation::Valid;
use model::Contract;

pub use errors::{ContractErrors, Mistake};

use errors::Findings;
use reader::Reader;

/// The definitions of our directives, which the parser adds to every contract.
pub const DIRECTIVES: &str = include_str!("directives.graphql");

/// A contract that has been checked.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Homes, groups and operations.
    pub contract: Arc<Contract>,
    /// What clients see: without our directives and their input types.
    pub client_schema: Valid<Schema>,
    /// [`Loaded::client_schema`] as text, in the order of the file, with its descriptions.
    pub client_sdl: String,
}

/// Reads the contract `text`; `file_name` is used in mistakes only.
///
/// # Errors
/// [`ContractErrors`] with every mistake found. After a syntax error nothing else is checked.
pub fn load(text: &str, file_name: &str) -> Result<Loaded, ContractErrors> {
    let built = Schema::builder()
        .adopt_orphan_extensions()
        .parse(DIRECTIVES, "directives.graphql")
        .parse(text, file_name)
        .build();
    let (schema, build_errors) = match built {
        Ok(schema) => (schema, None),
        Err(failed) => (failed.partial, Some(failed.errors)),
    };
    let findings = Findings::new(schema.sources.clone());
    if let Some(errors) = build_errors {
        if findings.take_syntax_error(&errors, &schema) {
            return Err(failed(findings, file_name));
        }
        findings.take(&errors, &schema);
    }
    // Validation drops what it finds unused, so the contract is read from what it gives back.
    let schema = match schema.validate() {
        Ok(valid) => valid.into_inner(),
        Err(failed) => {
            findings.take(&failed.errors, &failed.partial);
            failed.partial
        }
    };
    let contract = Reader::new(&schema, &findings).contract();
    if let Some(errors) = findings.into_errors(file_name) {
        return Err(errors);
    }
    let client_schema = client::schema(schema).map_err(|errors| {
        let findings = Findings::new(errors.partial.sources.clone());
        findings.take(&errors.errors, &errors.partial);
        failed(findings, file_name)
    })?;
    let client_sdl = client_schema.to_string();
    Ok(Loaded { contract: Arc::new(contract), client_schema, client_sdl })
}

fn failed(findings: Findings, file_name: &str) -> ContractErrors {
    findings.into_errors(file_name).unwrap_or(ContractErrors { file: file_name.to_owned(), mistakes: Vec::new() })
}

#[cfg(test)]
mod tests;
