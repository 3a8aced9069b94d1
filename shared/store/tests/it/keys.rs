//! All of a room lies together, so that it can be spread over several servers by `room_id`.

use crate::place::Place;

/// Tables of rooms: whatever has a `room_id`, but for the ids that are reserved under other keys.
const TABLES: &str = "select a.attrelid, a.attnum
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p')
    where a.attname = 'room_id' and c.relname <> 'room_key'
      and c.relnamespace = current_schema()::regnamespace";

/// A key without the room would have to be unique over all servers, and a reference would lead to
/// another one.
#[tokio::test]
async fn every_key_of_a_room_has_the_room() {
    let place = Place::new().await;
    let count = async |what: &str| {
        let sql =
            format!("with of_room (id, room) as ({TABLES}) select count(*) from of_room {what}");
        place.number(&sql).await
    };
    // `room`, `membership`, `read_mark`, `message` and its 16 partitions.
    assert_eq!(count("").await, 20);
    let keys = "join pg_index i on i.indrelid = id and i.indisunique";
    assert!(count(keys).await >= 20, "each has a key");
    let without = format!("{keys} and not room = any (i.indkey::int2[])");
    assert_eq!(count(&without).await, 0, "keys without the room");
    let references = "join pg_constraint f on f.contype = 'f' and id in (f.conrelid, f.confrelid)";
    assert_eq!(count(references).await, 0, "references");
}
