//! Plan + variables → a request that is ready to run, within its limits.

use std::sync::Arc;

use model::RootKind;
use model::contract::WriteAnswer;
use serde_json::{Map, Value as Json};

use super::answer::GraphqlError;
use super::coerce::{Coercer, Place, missing};
use super::compile::limit;
use super::plan::{Argument, ArgumentValue, Call, Plan, Selection, Source};
use super::settings::Limits;
use request::arguments::Arguments;
use request::error::ClientError;

/// What a field of the schema costs: one answer is some hundred kilobytes at most.
const INTROSPECTION_COST: u64 = 1_000;

/// A plan with coerced variables and arguments.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What runs.
    pub(crate) plan: Arc<Plan>,
    /// Coerced, with defaults.
    pub(crate) variables: Map<String, Json>,
    /// By the id of the call. An error belongs to that field alone.
    arguments: Vec<Result<Arguments, ClientError>>,
    /// Fields, each counted as often as its lists can repeat it.
    pub(crate) cost: u64,
}

impl Prepared {
    /// Coerces `variables` and every argument, and counts the cost.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `LIST_LIMIT`, `FIRST_LIMIT` or `COMPLEXITY_LIMIT`: refused as a whole.
    pub(crate) fn new(
        plan: Arc<Plan>,
        variables: &Map<String, Json>,
        coercer: Coercer<'_>,
        limits: &Limits,
    ) -> Result<Self, Vec<GraphqlError>> {
        let variables = coerce_variables(&plan, variables, coercer)?;
        let mut arguments = Vec::with_capacity(plan.calls);
        arguments.resize_with(plan.calls, || Ok(Arguments::default()));
        coerce_arguments(&plan.selection, &variables, coercer, &mut arguments);
        let mut prepared = Self { plan, variables, arguments, cost: 0 };
        prepared.cost = prepared.cost(&prepared.plan.selection, limits).map_err(|error| vec![error])?;
        if prepared.cost > limits.complexity {
            let most = limits.complexity;
            return Err(vec![limit("COMPLEXITY_LIMIT", "fields, lists multiplied", most)]);
        }
        Ok(prepared)
    }

    /// The arguments of `call`.
    pub(crate) fn arguments(&self, call: &Call) -> Result<&Arguments, ClientError> {
        self.arguments[call.id].as_ref().map_err(Clone::clone)
    }

    fn cost(&self, selection: &Selection, limits: &Limits) -> Result<u64, GraphqlError> {
        let mut cost: u64 = 0;
        for (_, field) in selection.included(&self.variables) {
            let own = match &field.source {
                Source::TypeName(_) | Source::Stored(..) => 1,
                Source::Introspection => INTROSPECTION_COST,
                Source::Call(call) => {
                    let times = self.times(call, limits).map_err(|error| error.at(field.location))?;
                    let inner = self.cost(&call.selection, limits)?;
                    times.saturating_mul(inner).saturating_add(1)
                }
            };
            cost = cost.saturating_add(own);
        }
        Ok(cost)
    }

    /// How often the selection of `call` can stand in the answer.
    fn times(&self, call: &Call, limits: &Limits) -> Result<u64, GraphqlError> {
        let argument = |name: &str| {
            let arguments = self.arguments[call.id].as_ref().ok()?;
            arguments.as_json().get(name)
        };
        Ok(match &call.root.kind {
            RootKind::ByKey { .. } => 1,
            RootKind::ByKeys { argument: keys } => {
                let keys = argument(keys).and_then(Json::as_array);
                keys.map_or(0, |keys| keys.len() as u64)
            }
            RootKind::List { .. } => match argument("first").and_then(Json::as_i64) {
                None => limits.assumed_list,
                Some(first) => {
                    let first = u64::try_from(first)
                        .map_err(|_| GraphqlError::from(ClientError::bad_input("`first` cannot be negative")))?;
                    if first > limits.first {
                        return Err(limit("FIRST_LIMIT", "items by `first`", limits.first));
                    }
                    first
                }
            },
            RootKind::Write(action) => match &action.answer {
                WriteAnswer::One(_) | WriteAnswer::Done => 1,
                WriteAnswer::Many(touches) => touches.len() as u64,
            },
        })
    }
}

fn coerce_variables(
    plan: &Plan,
    given: &Map<String, Json>,
    coercer: Coercer<'_>,
) -> Result<Map<String, Json>, Vec<GraphqlError>> {
    let mut coerced = Map::with_capacity(plan.variables.len());
    let mut errors = Vec::new();
    for variable in &plan.variables {
        let place = Place::Variable(&variable.name);
        let value = match (given.get(&variable.name), &variable.default) {
            (Some(json), _) => coercer.json(&variable.ty, json, place).map(Some),
            (None, Some(default)) => Ok(Some(default.clone())),
            (None, None) if variable.ty.is_non_null() => Err(missing(place)),
            (None, None) => Ok(None),
        };
        match value {
            Ok(Some(json)) => {
                coerced.insert(variable.name.clone(), json);
            }
            Ok(None) => {}
            Err(error) => errors.push(GraphqlError::from(error).at(variable.location)),
        }
    }
    if errors.is_empty() { Ok(coerced) } else { Err(errors) }
}

fn coerce_arguments(
    selection: &Selection,
    variables: &Map<String, Json>,
    coercer: Coercer<'_>,
    coerced: &mut [Result<Arguments, ClientError>],
) {
    for field in &selection.fields {
        if let Source::Call(call) = &field.source {
            coerced[call.id] = arguments_of(&call.arguments, variables, coercer);
            coerce_arguments(&call.selection, variables, coercer, coerced);
        }
    }
}

fn arguments_of(
    arguments: &[Argument],
    variables: &Map<String, Json>,
    coercer: Coercer<'_>,
) -> Result<Arguments, ClientError> {
    let mut coerced = Map::with_capacity(arguments.len());
    for argument in arguments {
        let place = Place::Argument(&argument.name);
        let value = match &argument.value {
            ArgumentValue::Constant(json) => Some(json.clone()),
            ArgumentValue::Expression { literal, ty, default } => {
                match coercer.literal(ty, literal, variables, place)? {
                    // A variable that was left out is an argument that was left out.
                    None if default.is_none() && ty.is_non_null() => return Err(missing(place)),
                    None => default.clone(),
                    given => given,
                }
            }
        };
        if let Some(json) = value {
            coerced.insert(argument.name.clone(), json);
        }
    }
    Ok(Arguments::new(coerced))
}
