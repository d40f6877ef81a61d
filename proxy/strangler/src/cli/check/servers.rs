//! Whether the servers have the connections that all replicas need together, and how these are protected.
//!
//! Several databases may be on one server, and several may be reached under one role: each limit is compared with what
//! falls under it. A server that does not answer is a finding of its own elsewhere, and left out here.

use std::collections::BTreeMap;

use adapters::postgres::ServerLook;
use model::Side;

use super::{CONTROL, Desk, Finding, HEARD_WITHIN, WITHIN};
use crate::app::CONTROL_CONNECTIONS;
use crate::config::SideSettings;

/// One database: what it is to us, how many connections one replica opens to it, and what its server says.
struct Database {
    what: &'static str,
    wanted: usize,
    look: ServerLook,
}

pub(super) async fn connections(desk: &Desk) -> Finding {
    let databases = look(desk).await;
    if databases.is_empty() {
        return Finding::bad("connections", "not known: no server answers");
    }
    // Where the control store does not tell, a finding of its own says so; then those of the configuration count.
    let heard = desk.control().replicas(HEARD_WITHIN).await.map(|replicas| replicas.len());
    let replicas = heard.as_ref().map_or(0, |heard| *heard).max(desk.config.fleet.replicas.len()).max(1);
    let problems = too_few(&databases, replicas);
    let facts = databases.iter().map(|database| (database.what, told(database, replicas))).collect();
    let exposed = databases.iter().filter_map(|Database { what, look, .. }| {
        look.exposed().map(|exposed| format!("the connection to {what} {exposed}: docs/operate/tls.md"))
    });
    let notices = exposed.collect();
    let counted = if replicas == 1 { "1 replica".to_owned() } else { format!("{replicas} replicas") };
    let counted = if heard.is_ok() { counted } else { format!("{counted} at least: the control store does not tell") };
    Finding { ok: problems.is_empty(), facts, notices, problems, ..Finding::good("connections", counted) }
}

async fn look(desk: &Desk) -> Vec<Database> {
    let mut databases = Vec::new();
    for side in Side::BOTH {
        let (Some(store), SideSettings::Postgres(settings)) =
            (desk.backends.postgres.get(side), desk.config.sides.get(side))
        else {
            continue;
        };
        let look = store.lane(adapters::Lane::Admin).server(WITHIN).await.ok().flatten();
        databases.extend(look.map(|look| Database { what: side.as_str(), wanted: settings.connections(), look }));
    }
    // One more listens.
    let wanted = CONTROL_CONNECTIONS.get() + 1;
    let look = desk.backends.control_server.server().await.ok().flatten();
    databases.extend(look.map(|look| Database { what: CONTROL, wanted, look }));
    databases
}

fn told(Database { wanted, look, .. }: &Database, replicas: usize) -> String {
    format!("{} of {}; {}", wanted * replicas, look.room, look.protection())
}

/// Every limit that is smaller than what falls under it.
fn too_few(databases: &[Database], replicas: usize) -> Vec<String> {
    let mut under: BTreeMap<(&str, String), (u64, Vec<&Database>)> = BTreeMap::new();
    for database in databases {
        let ServerLook { server, role, database: name, room, of_role, of_database, .. } = &database.look;
        let limits = [
            (Some(*room), server.clone(), "its server has", "raise max_connections there".to_owned()),
            (
                *of_role,
                format!("{server} {role}"),
                "its role may have",
                format!("ALTER ROLE {role} CONNECTION LIMIT …"),
            ),
            (
                *of_database,
                format!("{server} {name}"),
                "its database may have",
                format!("ALTER DATABASE {name} CONNECTION LIMIT …"),
            ),
        ];
        for (limit, whose, has, remedy) in limits {
            let Some(limit) = limit else { continue };
            let entry = under.entry((has, format!("{whose}\n{remedy}"))).or_insert((limit, Vec::new()));
            entry.0 = entry.0.min(limit);
            entry.1.push(database);
        }
    }
    let problems = under.into_iter().filter_map(|((has, whose), (limit, databases))| {
        let wanted: usize = databases.iter().map(|database| database.wanted * replicas).sum();
        let remedy = whose.split_once('\n').map_or("", |(_, remedy)| remedy);
        (wanted as u64 > limit).then(|| {
            let sum: Vec<_> = databases.iter().map(|one| format!("{} {} × {replicas}", one.what, one.wanted)).collect();
            format!(
                "{} = {wanted} connections are wanted, and {has} {limit} for us: calls would wait for each other; {remedy}, or \
                 set reads, writes, shadow, scan and admin lower; leave some for commands and people",
                sum.join(" + ")
            )
        })
    });
    problems.collect()
}

#[cfg(test)]
mod tests {
    use adapters::postgres::Mode;

    use super::*;

    fn database(what: &'static str, wanted: usize, server: &str, of_role: Option<u64>) -> Database {
        let look = ServerLook {
            server: server.to_owned(),
            role: "shop".to_owned(),
            database: what.to_owned(),
            room: 97,
            of_role,
            of_database: None,
            encrypted: None,
            mode: Mode::Prefer,
            local: false,
        };
        Database { what, wanted, look }
    }

    #[test]
    fn databases_on_one_server_share_its_connections_and_those_on_two_do_not() {
        let one =
            [database("legacy", 26, "a", None), database("modern", 26, "a", None), database(CONTROL, 5, "a", None)];
        assert_eq!(too_few(&one, 1), Vec::<String>::new());
        let problems = too_few(&one, 2);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].starts_with("legacy 26 × 2 + modern 26 × 2 + control 5 × 2 = 114 connections are wanted, and its server has 97 for us"),
            "{problems:?}"
        );
        let two = [database("legacy", 26, "a", None), database("modern", 26, "b", None)];
        assert_eq!(too_few(&two, 3), Vec::<String>::new());
    }

    #[test]
    fn a_limit_of_the_role_counts_for_all_that_is_reached_under_it() {
        let shared = [database("modern", 26, "a", Some(30)), database(CONTROL, 5, "a", Some(30))];
        let problems = too_few(&shared, 1);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("modern 26 × 1 + control 5 × 1 = 31") && problems[0].contains("ALTER ROLE shop"));
        let apart = [database("modern", 26, "a", Some(30)), database(CONTROL, 5, "b", Some(30))];
        assert_eq!(too_few(&apart, 1), Vec::<String>::new());
    }
}
