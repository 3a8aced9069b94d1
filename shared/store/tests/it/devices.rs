//! Devices: registered, listed, removed; at most so many of a user.

use protocol::{DeviceToken, Platform};
use store::MAX_DEVICES;

use crate::place::Place;
use crate::writer::user;

fn token(text: &str) -> DeviceToken {
    DeviceToken::try_from(text.to_owned()).ok().unwrap()
}

#[tokio::test]
async fn a_device_is_its_token_and_goes_with_who_signs_in() {
    let place = Place::new().await;
    let store = &place.store;
    let register = async |who, platform, text: &str| {
        let token = token(text);
        let id = store.register_device(user(who), platform, &token).await;
        id.unwrap().unwrap()
    };
    let phone = register(1, Platform::Android, "phone").await;
    let page = register(1, Platform::Web, "page").await;
    assert_ne!(phone, page);
    let before = store.devices(user(1)).await.unwrap();
    // Each start of the app registers again: nothing changes but what it runs on.
    assert_eq!(register(1, Platform::Ios, "phone").await, phone);
    let devices = store.devices(user(1)).await.unwrap();
    let seen: Vec<_> = devices
        .iter()
        .map(|one| (one.id, one.platform, one.token.expose()))
        .collect();
    assert_eq!(
        seen,
        [
            (phone, Platform::Ios, "phone"),
            (page, Platform::Web, "page")
        ]
    );
    assert_eq!(devices[0].since, before[0].since);
    // Somebody else signs in on the phone: what comes for the first one must not be shown there.
    assert_eq!(register(2, Platform::Ios, "phone").await, phone);
    assert_eq!(store.devices(user(1)).await.unwrap().len(), 1);
    assert_eq!(store.devices(user(2)).await.unwrap().len(), 1);

    assert!(!store.remove_device(user(1), phone).await.unwrap());
    assert!(store.remove_device(user(2), phone).await.unwrap());
    assert!(!store.remove_device(user(2), phone).await.unwrap());
    assert!(store.devices(user(2)).await.unwrap().is_empty());
}

/// I9: however many register side by side (trap 2).
#[tokio::test]
async fn i9_a_user_has_a_bounded_number_of_devices() {
    let place = Place::new().await;
    let mut running = tokio::task::JoinSet::new();
    for n in 0..MAX_DEVICES + 6 {
        let store = place.store.clone();
        running.spawn(async move {
            let token = token(&format!("device-{n}"));
            let id = store.register_device(user(1), Platform::Web, &token).await;
            id.unwrap()
        });
    }
    let taken = running.join_all().await.into_iter().flatten().count();
    assert_eq!(i64::try_from(taken).unwrap(), MAX_DEVICES);
    let devices = place.store.devices(user(1)).await.unwrap();
    assert_eq!(devices.len(), taken);
    // One that is there can be registered again, and another user has as many of their own.
    let again = place
        .store
        .register_device(user(1), Platform::Web, &devices[0].token);
    assert_eq!(again.await.unwrap(), Some(devices[0].id));
    let other = token("x");
    let other = place.store.register_device(user(2), Platform::Web, &other);
    assert!(other.await.unwrap().is_some());
}
