//! Mutations in steps: `@saga`. Read after all others, since its steps are mutations themselves.

use std::collections::HashSet;
use std::sync::Arc;

use apollo_compiler::ast::{FieldDefinition, OperationType, Type};
use apollo_compiler::parser::SourceSpan;
use indexmap::IndexMap;
use model::contract::{DualWrite, RootKind, SagaCall, SagaPlan, SagaSource, SagaStep, WriteAction, WriteWork};
use model::{Root, RouteName};

use super::directive::{Args, Text};
use super::reader::{Reader, directive};
use super::source::Scope;
use super::suggest;

/// Every mutation that was read so far, by route.
type Roots = IndexMap<RouteName, Arc<Root>>;

/// A saga while its steps are read.
struct Draft<'a> {
    field: &'a FieldDefinition,
    roots: &'a Roots,
    /// Steps so far: those that an argument may draw from.
    steps: Vec<(String, Arc<Root>)>,
    used: HashSet<String>,
}

impl Reader<'_> {
    /// The sagas of the contract, whose other mutations are in `roots`.
    pub(super) fn sagas(&self, roots: &Roots) -> Vec<Root> {
        let name = self.schema.root_operation(OperationType::Mutation);
        let Some(object) = name.and_then(|name| self.schema.get_object(name)) else {
            return Vec::new();
        };
        let fields = object.fields.values().filter(|field| super::root::runs_alone(field, "saga"));
        fields.filter_map(|field| self.saga(field, roots)).collect()
    }

    fn saga(&self, field: &FieldDefinition, roots: &Roots) -> Option<Root> {
        let args = directive(field, "saga")?;
        let listed = args.objects("steps");
        if listed.is_empty() {
            self.findings.add(
                args.place("steps"),
                format!("`{}` has no steps", field.name),
                "name its first step: {do: …}",
            );
            return None;
        }
        // What is wrong with a step's own mutation is reported where it stands; its echoes here would only distract.
        if listed.iter().any(|step| self.has_broken_mutation(roots, step)) {
            return None;
        }
        let mut draft = Draft { field, roots, steps: Vec::new(), used: HashSet::new() };
        let last = listed.len() - 1;
        let steps: Vec<Option<SagaStep>> =
            listed.iter().enumerate().map(|(place, step)| self.step(&mut draft, step, place == last)).collect();
        self.check_all_used(&draft);
        let steps: Vec<SagaStep> = steps.into_iter().collect::<Option<_>>()?;
        let answer = self.answering(&args, &steps)?;
        let root = &steps[answer].run.root;
        self.check_answer(field, root);
        let RootKind::Write(action) = &root.kind else {
            return None;
        };
        let (touches, answers) = (action.touches.clone(), action.answer.clone());
        let (entity, group) = (Arc::clone(&root.entity), steps[0].run.root.group.clone());
        let work = WriteWork::Saga(Arc::new(SagaPlan { steps, answer }));
        Some(Root {
            route: RouteName::from(format!("Mutation.{}", field.name).as_str()),
            group,
            entity,
            kind: RootKind::Write(WriteAction { work, touches, answer: answers, dual_write: DualWrite::State }),
        })
    }

    fn step(&self, draft: &mut Draft<'_>, args: &Args<'_>, last: bool) -> Option<SagaStep> {
        let does = args.text("do")?;
        let name = args.text("name").unwrap_or(does);
        let root = self.mutation(draft.roots, does);
        if draft.steps.iter().any(|(known, _)| known == name.text) {
            let what = format!("two steps of `{}` are called `{}`", draft.field.name, name.text);
            self.findings.add(name.at, what, "give one of them another `name`");
        }
        if draft.field.argument_by_name(name.text).is_some() {
            let what = format!("`{}` is a step and an argument of `{}`", name.text, draft.field.name);
            self.findings.add(name.at, what, "give the step another `name`");
        }
        let with = root.as_ref().and_then(|root| self.call(draft, args, "with", root));
        if let Some(root) = &root {
            // Its undo may draw from what it has answered itself.
            draft.steps.push((name.text.to_owned(), Arc::clone(root)));
        }
        let undo = match args.text("undo") {
            Some(undo) => {
                let root = self.mutation(draft.roots, undo)?;
                Some(self.call(draft, args, "undoWith", &root)?)
            }
            None if last => None,
            None => {
                let what = format!("nothing undoes `{}` when a later step is refused", name.text);
                self.findings.add(args.at, what, "add `undo: …`, or make it the last step");
                return None;
            }
        };
        root?;
        Some(SagaStep { name: name.text.to_owned(), run: with?, undo })
    }

    fn has_broken_mutation(&self, roots: &Roots, step: &Args<'_>) -> bool {
        let mut named = ["do", "undo"].into_iter().filter_map(|key| step.text(key));
        named.any(|name| {
            let declared = self.definition(name.text).is_some_and(|field| !field.directives.has("saga"));
            declared && !roots.contains_key(&RouteName::from(format!("Mutation.{}", name.text).as_str()))
        })
    }

    /// The mutation called `name`, which is no saga, or a mistake.
    fn mutation(&self, roots: &Roots, name: Text<'_>) -> Option<Arc<Root>> {
        let found = roots.get(&RouteName::from(format!("Mutation.{}", name.text).as_str()));
        if found.is_none() {
            match self.definition(name.text) {
                Some(field) if field.directives.has("saga") => {
                    let what = format!("`{}` is a saga itself", name.text);
                    self.findings.add(name.at, what, "name its steps here instead");
                }
                Some(_) => {}
                None => {
                    let known = roots.keys().filter_map(|route| route.as_str().strip_prefix("Mutation."));
                    let what = format!("there is no mutation `{}`", name.text);
                    self.findings.add(name.at, what, suggest::or_all(name.text, "", known));
                }
            }
        }
        found.cloned()
    }

    fn definition(&self, mutation: &str) -> Option<&FieldDefinition> {
        let name = self.schema.root_operation(OperationType::Mutation)?;
        let field = self.schema.get_object(name)?.fields.get(mutation)?;
        Some(field)
    }

    /// A source for every argument of `root`: as `key` of the step says, else the saga's argument of that name.
    fn call(&self, draft: &mut Draft<'_>, args: &Args<'_>, key: &str, root: &Arc<Root>) -> Option<SagaCall> {
        let target = self.definition(root.route.as_str().strip_prefix("Mutation.")?)?;
        let given = args.objects(key);
        for (argument, at) in given.iter().filter_map(|one| Some((one.text("argument")?, one.at))) {
            if target.argument_by_name(argument.text).is_none() {
                let known = target.arguments.iter().map(|known| known.name.as_str());
                let what = format!("`{}` has no argument `{}`", target.name, argument.text);
                self.findings.add(argument.at.or(at), what, suggest::or_all(argument.text, "", known));
            }
        }
        let mut with = Vec::new();
        let mut whole = true;
        for argument in &target.arguments {
            let named = |one: &&Args<'_>| one.text("argument").is_some_and(|text| text.text == argument.name.as_str());
            let said = given.iter().find(named).and_then(|one| one.text("from"));
            let path = match said {
                Some(text) => text.text.strip_prefix(':').unwrap_or(text.text),
                None if draft.field.argument_by_name(&argument.name).is_some() => argument.name.as_str(),
                None => {
                    if argument.ty.is_non_null() || argument.default_value.is_some() {
                        let what = format!("nothing says where `{}` of `{}` comes from", argument.name, target.name);
                        let remedy = format!("add {{argument: \"{}\", from: \":…\"}} to `{key}`", argument.name);
                        self.findings.add(args.at, what, remedy);
                        whole = false;
                    }
                    continue;
                }
            };
            let at = said.map_or(args.at, |text| text.at);
            match self.saga_source(draft, path, at, (&argument.ty, argument.name.as_str())) {
                Some(source) => with.push((argument.name.to_string(), source)),
                None => whole = false,
            }
        }
        whole.then(|| SagaCall { root: Arc::clone(root), with })
    }

    fn saga_source(
        &self,
        draft: &mut Draft<'_>,
        path: &str,
        at: Option<SourceSpan>,
        (wanted, argument): (&Type, &str),
    ) -> Option<SagaSource> {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let step = draft.steps.iter().position(|(name, _)| name == first);
        if let Some(step) = step.filter(|_| !rest.is_empty()) {
            return self.answer_source(draft, (step, rest), at, (wanted, argument));
        }
        draft.used.insert(first.to_owned());
        let whole = draft.field.argument_by_name(first).filter(|_| rest.is_empty());
        if let Some(given) = whole {
            let same =
                given.ty.inner_named_type() == wanted.inner_named_type() && given.ty.is_list() == wanted.is_list();
            let required = given.ty.is_non_null() || given.default_value.is_some() || !wanted.is_non_null();
            if same && required {
                return Some(SagaSource::Argument(vec![first.to_owned()]));
            }
            return self.unfit(path, at, (wanted, argument));
        }
        let scope = Scope { field: draft.field, parent: None, mutation: false, numbers: &[] };
        let found = self.source_at(scope, path, at)?;
        let fits = self.fits(&found.type_name, wanted.inner_named_type()) && found.list == wanted.is_list();
        if !fits || (wanted.is_non_null() && !found.required) {
            return self.unfit(path, at, (wanted, argument));
        }
        Some(SagaSource::Argument(path.split('.').map(str::to_owned).collect()))
    }

    fn answer_source(
        &self,
        draft: &Draft<'_>,
        (step, field): (usize, &str),
        at: Option<SourceSpan>,
        (wanted, argument): (&Type, &str),
    ) -> Option<SagaSource> {
        let (name, root) = &draft.steps[step];
        let answers = match &root.kind {
            RootKind::Write(action) => !matches!(action.answer, model::contract::WriteAnswer::Done),
            RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => false,
        };
        let Some(index) = root.entity.index(field).filter(|_| answers) else {
            let known = root.entity.fields.iter().map(|field| field.name.as_str());
            let what = format!("step `{name}` answers with no field `{field}`");
            self.findings.add(at, what, suggest::or_all(field, &format!(":{name}."), known));
            return None;
        };
        let given = self.type_of(&root.entity, field)?;
        let fits = self.fits(given.inner_named_type(), wanted.inner_named_type()) && !wanted.is_list();
        if !fits || (wanted.is_non_null() && !given.is_non_null()) {
            return self.unfit(&format!("{name}.{field}"), at, (wanted, argument));
        }
        Some(SagaSource::Answer { step, field: index })
    }

    fn unfit<T>(&self, path: &str, at: Option<SourceSpan>, (wanted, argument): (&Type, &str)) -> Option<T> {
        let what = format!("`:{path}` does not fit argument `{argument}`, which is of type {wanted}");
        self.findings.add(at, what, "use a source of that type; one that may be null fits no type with `!`");
        None
    }

    fn check_all_used(&self, draft: &Draft<'_>) {
        for argument in &draft.field.arguments {
            if !draft.used.contains(argument.name.as_str()) {
                let what = format!("no step uses the argument `{}` of `{}`", argument.name, draft.field.name);
                self.findings.add(argument.name.location(), what, "use it in a step, or take it out");
            }
        }
    }

    /// The step whose answer the client is given: the last, unless the saga names another.
    fn answering(&self, args: &Args<'_>, steps: &[SagaStep]) -> Option<usize> {
        let Some(named) = args.text("answer") else {
            return Some(steps.len() - 1);
        };
        let found = steps.iter().position(|step| step.name == named.text);
        if found.is_none() {
            let known = steps.iter().map(|step| step.name.as_str());
            let what = format!("there is no step `{}` to answer with", named.text);
            self.findings.add(named.at, what, suggest::or_all(named.text, "", known));
        }
        found
    }

    fn check_answer(&self, field: &FieldDefinition, root: &Root) {
        let name = root.route.as_str().trim_start_matches("Mutation.");
        let Some(target) = self.definition(name) else {
            return;
        };
        if target.ty != field.ty {
            let what =
                format!("`{}` is of type {}, and `{name}`, which answers, of type {}", field.name, field.ty, target.ty);
            let remedy = format!("make it of type {}, or let another step answer", target.ty);
            self.findings.add(field.ty.inner_named_type().location(), what, remedy);
        }
    }
}
