//! How the two answers for a field are compared: `@compare` and `@excused`.

use apollo_compiler::ast::FieldDefinition;
use chrono::NaiveDate;
use model::contract::{ColumnType, Compare, Excuse};
use model::{Home, Kind, PerSide, Side};

use super::directive::Args;
use super::entity::place;
use super::reader::{Reader, directive};

impl Reader<'_> {
    pub(super) fn compare(&self, field: &FieldDefinition, kind: Kind, home: Option<&PerSide<Home>>) -> Compare {
        let mut compare = Compare { excused: self.excuse(field), ..Compare::default() };
        if let Some(args) = directive(field, "compare") {
            compare.ignore_case = args.flag("ignoreCase");
            compare.to_seconds = args.flag("toSeconds");
            compare.ignore = args.flag("ignore");
            compare.scale = self.scale(&args, kind, home);
            for (name, wanted, word) in [("ignoreCase", Kind::Text, "text"), ("toSeconds", Kind::Instant, "DateTime")] {
                if args.flag(name) && kind != wanted {
                    self.findings.add(
                        args.place(name),
                        format!("`{name}` on `{}`, which is no {word}", field.name),
                        format!("take `{name}` out"),
                    );
                }
            }
        }
        let seconds = |home: &Home| home.column_type == ColumnType::TimestampSeconds;
        if let Some(home) = home
            && seconds(&home.legacy) != seconds(&home.modern)
            && kind == Kind::Instant
            && !compare.to_seconds
        {
            self.findings.add(
                place(field, "home"),
                format!("one side keeps `{}` in whole seconds only", field.name),
                "add @compare(toSeconds: true)",
            );
        }
        compare
    }

    fn scale(&self, args: &Args<'_>, kind: Kind, home: Option<&PerSide<Home>>) -> Option<u32> {
        let scale = args.number("scale")?;
        let at = args.place("scale");
        if kind != Kind::Decimal {
            self.findings.add(
                at,
                "`scale` on a field that is no Decimal",
                "take `scale` out, or make the field a Decimal",
            );
            return None;
        }
        let Some(scale) = u32::try_from(scale).ok().filter(|scale| *scale <= 38) else {
            self.findings.add(at, format!("a scale of {scale}"), "give the digits after the point, 0 to 38");
            return None;
        };
        for side in Side::BOTH {
            if let Some(ColumnType::Numeric(Some(kept))) = home.map(|h| h.get(side).column_type)
                && kept.scale < scale
            {
                self.findings.add(
                    at,
                    format!("compared to {scale} digits, and {side} keeps {}", kept.scale),
                    format!("use scale: {}, or widen the column", kept.scale),
                );
            }
        }
        Some(scale)
    }

    fn excuse(&self, field: &FieldDefinition) -> Option<Excuse> {
        let args = directive(field, "excused")?;
        for name in ["reason", "owner"] {
            if args.text(name).is_some_and(|text| text.text.trim().is_empty()) {
                self.findings.add(
                    args.place(name),
                    format!("a difference is excused without {name}"),
                    "say why, and who answers for it",
                );
            }
        }
        let until = args.text("until")?;
        let Ok(day) = NaiveDate::parse_from_str(until.text, "%Y-%m-%d") else {
            self.findings.add(
                until.at,
                format!("`{}` is no day", until.text),
                "write the last day on which it is excused as YYYY-MM-DD, such as 2026-12-31",
            );
            return None;
        };
        Some(Excuse {
            reason: args.text("reason")?.text.to_owned(),
            owner: args.text("owner")?.text.to_owned(),
            until: day,
        })
    }
}
