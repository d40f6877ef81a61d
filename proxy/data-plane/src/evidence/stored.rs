//! From what the control store holds to what reports are made of: the contract is added, so that what
//! was not compared shows as well.

use std::collections::{BTreeMap, BTreeSet};

use model::contract::{DualWrite, RootKind};
use model::control::{DifferenceKind, EvidenceFilter, Seen, Sums};
use model::evidence::{Coverage, DeclaredExcuse, Evidence, Explained, Verdict};
use model::{Contract, EntityName, FieldName, RouteName, Rule};
use shadow_compare::KeysSeen;

/// The evidence in `sums`, with every route of `contract` that is compared and that `filter` wants. `totals`: how
/// many records there are of each type, where that is known. Accepted excuses and the trend are
/// read apart.
pub fn stored(
    sums: &Sums,
    contract: &Contract,
    filter: &EvidenceFilter,
    totals: &BTreeMap<EntityName, u64>,
) -> Evidence {
    let wanted = |route: &RouteName| filter.routes.as_ref().is_none_or(|routes| routes.contains(route));
    let readable = contract.roots.values().filter(|root| match &root.kind {
        RootKind::ByKey { .. } | RootKind::ByKeys { .. } | RootKind::List { .. } => true,
        // Compared by rehearsals, where the contract asks for them.
        RootKind::Write(action) => action.dual_write == DualWrite::Replay,
    });
    let declared = readable.clone().filter(|root| wanted(&root.route)).flat_map(|root| {
        let excused = root.entity.fields.iter().filter_map(|field| Some((field, field.compare.excused.clone()?)));
        excused.map(|(field, excuse)| DeclaredExcuse { route: root.route.clone(), field: field.name.clone(), excuse })
    });
    let declared = declared.filter(|excuse| filter.field.as_ref().is_none_or(|field| *field == excuse.field)).collect();
    let routes: BTreeSet<&RouteName> =
        readable.map(|root| &root.route).chain(sums.comparisons.keys().map(|finding| &finding.route)).collect();
    let routes = routes.into_iter().filter(|route| wanted(route));
    Evidence {
        coverage: routes.map(|route| coverage(route, sums, contract, filter, totals)).collect(),
        tallies: sums
            .differences
            .iter()
            .map(|(kind, seen)| kind.tally(*seen, sums.answers.get(kind).copied()))
            .collect(),
        samples: sums.samples.clone(),
        explained: sums.explained.iter().filter_map(explained).collect(),
        declared,
        filter: filter.clone(),
        ..Evidence::default()
    }
}

fn explained(((kind, rule), seen): (&(DifferenceKind, Rule), &Seen)) -> Option<Explained> {
    Some(Explained {
        route: kind.route.clone(),
        field: kind.field.clone()?,
        cause: kind.cause,
        verdict: kind.verdict,
        rule: *rule,
        count: seen.count,
    })
}

fn coverage(
    route: &RouteName,
    sums: &Sums,
    contract: &Contract,
    filter: &EvidenceFilter,
    totals: &BTreeMap<EntityName, u64>,
) -> Coverage {
    let mut verdicts: BTreeMap<Verdict, u64> = BTreeMap::new();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for (finding, seen) in sums.comparisons.iter().filter(|(finding, _)| finding.route == *route) {
        *verdicts.entry(finding.verdict).or_default() += seen.count;
        if let Some(reason) = &finding.reason {
            *reasons.entry(reason.clone()).or_default() += seen.count;
        }
    }
    // A bitmap of another length was written by another release; its keys are not known then.
    let keys = sums.keys.get(route).and_then(|bitmap| KeysSeen::from_bytes(bitmap).ok());
    let of_route = sums.fields.keys().filter(|(of, _)| of == route);
    let fields_compared: Vec<FieldName> = of_route.map(|(_, field)| field.clone()).collect();
    let of_contract = contract.root(route).map(|root| root.entity.fields.iter()).into_iter().flatten();
    // Of one field that was asked for nothing is said of the others.
    let asked = |name: &&FieldName| filter.field.as_ref().is_none_or(|field| field == *name);
    let never = of_contract.map(|field| &field.name).filter(asked).filter(|name| !fields_compared.contains(name));
    Coverage {
        route: route.clone(),
        verdicts,
        reasons,
        keys_compared: keys.map_or(0, |keys| keys.estimate()),
        keys_total: contract.root(route).and_then(|root| totals.get(&root.entity.name)).copied(),
        fields_never: never.cloned().collect(),
        fields_compared,
    }
}
