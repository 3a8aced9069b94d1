//! Calls of librdkafka's that rdkafka has no safe form of. The only unsafe code there is.

#![expect(
    unsafe_code,
    reason = "rdkafka has no call for topic ids, its header names panic on what is not UTF-8, and its admin client hears nothing"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as Native;
use rdkafka::message::{BorrowedHeaders, Headers as _};

/// What a cluster says of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// Changes when the topic is deleted and made again.
    pub(super) id: String,
    pub(super) partitions: usize,
    /// How many of them have no leader at the moment.
    pub(super) leaderless: usize,
}

/// A failed question, by librdkafka's code.
#[derive(Debug, Clone)]
pub(super) enum DescribeError {
    NoSuchTopic,
    Other(String),
}

/// Asks for a topic's id and partitions; blocks for at most `timeout`. Unlike a request for
/// metadata it never creates the topic.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Described, DescribeError> {
    let name = CString::new(topic).map_err(|error| DescribeError::Other(error.to_string()))?;
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let native = client.native_ptr();
    // SAFETY: every object is made here, used while `client` lives, and destroyed once, after all
    // that is borrowed from it has been copied.
    unsafe {
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        let options = sys::rd_kafka_AdminOptions_new(
            native,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let mut message = [0; 256];
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis,
            message.as_mut_ptr(),
            message.len(),
        );
        let queue = sys::rd_kafka_queue_new(native);
        sys::rd_kafka_DescribeTopics(native, topics, options, queue);
        // The request times out by itself; a little longer, so that its own answer is seen.
        let event = sys::rd_kafka_queue_poll(queue, millis.saturating_add(500));
        let described = if event.is_null() {
            Err(DescribeError::Other("no answer".to_owned()))
        } else {
            read_description(event)
        };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
        described
    }
}

/// Gives what librdkafka has to say (logs, and why there is no connection) to the client's context. For clients that
/// nobody else polls: rdkafka's admin client waits for its answers only, and what is said would lie there for as long as it lives.
pub(super) fn hear<C: ClientContext>(client: &Client<C>) {
    // SAFETY: the queue and each event are taken here, while `client` lives, and given back once, after what is borrowed from them
    // has been used.
    unsafe {
        let queue = sys::rd_kafka_queue_get_main(client.native_ptr());
        loop {
            let event = sys::rd_kafka_queue_poll(queue, 0);
            if event.is_null() {
                break;
            }
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_ERROR => {
                    let code = sys::rd_kafka_event_error(event);
                    let said = text(sys::rd_kafka_event_error_string(event));
                    let error = Native::Global(code.into());
                    client.context().error(error, said.trim());
                }
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut said, mut level) = (ptr::null(), ptr::null(), 0);
                    let (place, words) = (&raw mut facility, &raw mut said);
                    if sys::rd_kafka_event_log(event, place, words, &raw mut level) == 0 {
                        // As syslog counts: 4 is a warning, 5 a notice.
                        let level = match level {
                            ..=4 => RDKafkaLogLevel::Warning,
                            5 | 6 => RDKafkaLogLevel::Info,
                            _ => RDKafkaLogLevel::Debug,
                        };
                        let (facility, said) = (text(facility), text(said));
                        client.context().log(level, facility.trim(), said.trim());
                    }
                }
                _ => {}
            }
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_queue_destroy(queue);
    }
}

/// How many brokers the cluster names, when asked about the topics that this client uses; none: no answer. Blocks for at most
/// `timeout`.
pub(super) fn brokers<C: ClientContext>(client: &Client<C>, timeout: Duration) -> Option<usize> {
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let mut answer = ptr::null();
    // SAFETY: the answer is made here, while `client` lives, and destroyed once, after its number has been read.
    unsafe {
        let native = client.native_ptr();
        let asked = sys::rd_kafka_metadata(native, 0, ptr::null_mut(), &raw mut answer, millis);
        if asked != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let count = (*answer).broker_cnt;
        sys::rd_kafka_metadata_destroy(answer);
        usize::try_from(count).ok()
    }
}

/// Names brokers, `host:port` separated by commas, to a client that may have lost them.
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, brokers: &CStr) {
    // SAFETY: `client` lives through the call, and the text, which is copied.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) };
}

/// # Safety
/// `event` is an event of librdkafka's that lives through the call.
unsafe fn read_description(event: *mut sys::rd_kafka_event_t) -> Result<Described, DescribeError> {
    // SAFETY: as the caller promises; what is borrowed from the event is copied before returning.
    unsafe {
        if sys::rd_kafka_event_error(event) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return Err(DescribeError::Other(text(
                sys::rd_kafka_event_error_string(event),
            )));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(DescribeError::Other(
                "an answer to something else".to_owned(),
            ));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count != 1 {
            return Err(DescribeError::Other(format!("{count} topics described")));
        }
        let topic = *topics;
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            match sys::rd_kafka_error_code(error) {
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => {
                    return Err(DescribeError::NoSuchTopic);
                }
                _ => {
                    return Err(DescribeError::Other(text(sys::rd_kafka_error_string(
                        error,
                    ))));
                }
            }
        }
        let id = sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(topic));
        let mut partitions = 0;
        let infos = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let leaderless = (0..partitions)
            .filter(|index| sys::rd_kafka_TopicPartitionInfo_leader(*infos.add(*index)).is_null())
            .count();
        Ok(Described {
            id: text(id),
            partitions,
            leaderless,
        })
    }
}

/// # Safety
/// `text` is null or ends with a zero and lives through the call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// Copies headers, whatever bytes their names are: a producer of any kind can write a name that
/// is not UTF-8, and rdkafka's own accessor panics on it (I11).
pub(super) fn headers(headers: &BorrowedHeaders) -> Vec<(String, Bytes)> {
    // A `&BorrowedHeaders` is the address of librdkafka's own structure.
    let native = ptr::from_ref(headers).cast::<sys::rd_kafka_headers_t>();
    let count = headers.count();
    let mut copied = Vec::with_capacity(count);
    for index in 0..count {
        let mut name = ptr::null();
        let mut value = ptr::null();
        let mut size = 0;
        // SAFETY: `headers` is borrowed, so that the name and value it points to are alive while
        // they are copied; librdkafka ends names with a zero.
        unsafe {
            let found = sys::rd_kafka_header_get_all(
                native,
                index,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            );
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            let value = if value.is_null() {
                Bytes::new()
            } else {
                Bytes::copy_from_slice(std::slice::from_raw_parts(value.cast::<u8>(), size))
            };
            copied.push((text(name), value));
        }
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I11: a name that is not UTF-8 made rdkafka's accessor panic; it is read like any other.
    #[test]
    fn i11_header_names_of_any_bytes_are_read() {
        // SAFETY: the headers are made, borrowed and destroyed here.
        unsafe {
            let native = sys::rd_kafka_headers_new(2);
            for (name, value) in [(&b"v"[..], &b"1"[..]), (&b"\xff\xfe"[..], &b""[..])] {
                let added = sys::rd_kafka_header_add(
                    native,
                    name.as_ptr().cast(),
                    isize::try_from(name.len()).unwrap(),
                    value.as_ptr().cast(),
                    isize::try_from(value.len()).unwrap(),
                );
                assert_eq!(added, sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
            }
            let copied = headers(&*native.cast::<BorrowedHeaders>());
            sys::rd_kafka_headers_destroy(native);
            assert_eq!(copied.len(), 2);
            assert_eq!(copied[0], ("v".to_owned(), Bytes::from_static(b"1")));
            assert_eq!(copied[1].0, "\u{fffd}\u{fffd}");
        }
    }
}
