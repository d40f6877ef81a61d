//! What is remembered of the sides' lives.

use deadpool_postgres::ClientWrapper;
use model::life::{Mark, Memory};
use model::{Incarnation, Side};

use super::connection::Broken;

pub(super) async fn remember(client: &mut ClientWrapper, of: Side, memory: Memory) -> Result<(), Broken> {
    let text = "INSERT INTO strangler_control_memory AS m (side, incarnation, mark, random) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (side) DO UPDATE SET incarnation = EXCLUDED.incarnation, mark = EXCLUDED.mark, \
                random = EXCLUDED.random WHERE (m.incarnation, m.mark) < (EXCLUDED.incarnation, EXCLUDED.mark)";
    let (mark, random) = (memory.mark.counter.cast_signed(), memory.mark.random.cast_signed());
    client.execute(text, &[&of.as_str(), &i64::from(memory.incarnation.0), &mark, &random]).await?;
    Ok(())
}

pub(super) async fn remembered(client: &mut ClientWrapper, of: Side) -> Result<Option<Memory>, Broken> {
    let text = "SELECT incarnation, mark, random FROM strangler_control_memory WHERE side = $1";
    let Some(row) = client.query_opt(text, &[&of.as_str()]).await? else { return Ok(None) };
    let (incarnation, mark, random): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let unreadable = |_| Broken::garbled("what is remembered of a side's life is out of range");
    let incarnation = Incarnation(u32::try_from(incarnation).map_err(unreadable)?);
    let mark = Mark { counter: mark.cast_unsigned(), random: random.cast_unsigned() };
    Ok(Some(Memory { incarnation, mark }))
}
