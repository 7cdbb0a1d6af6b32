"""Every page of the console: what it shows, what can be done there, by keyboard too, and that axe-core
finds nothing grave in light and dark."""
import pytest
from groups import commit
from http_client import HttpBroker

PAGES = {
    "overview": "/",
    "topics": "/topics",
    "messages": "/topics/{topic}",
    "partitions": "/topics/{topic}/partitions",
    "settings": "/topics/{topic}/settings",
    "groups": "/groups",
    "group": "/groups/{group}",
    "shards": "/shards",
    "dedup": "/dedup",
    "config": "/config",
}


@pytest.fixture(scope="module")
def world(broker):
    """A topic with records and a dedup window, and a group that is behind."""
    with broker.connect() as connection:
        connection.create_topic("orders", 3, configs={"dedup.enable": "true"})
        for number in range(30):
            connection.produce("orders", 0, [b'{"number":%d}' % number])
        commit(connection, "billing", "orders", 10)
    return {"topic": "orders", "group": "billing"}


@pytest.mark.parametrize("console", ["light", "dark"], indirect=True)
@pytest.mark.parametrize("name", PAGES)
def test_page_is_shown_without_a_grave_fault(console, world, name, request):
    console.open(PAGES[name].format(**world))
    assert console.page.locator("h1").count() == 1
    if name == "overview":
        console.page.locator(".chart path[d*=L]").nth(2).wait_for(state="attached")
    console.picture(f"{name}-{request.node.callspec.params['console']}")
    assert console.page.locator(".problem:visible").count() == 0
    assert console.grave_faults() == []


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_narrow_screen(console, world, name):
    console.page.set_viewport_size({"width": 390, "height": 800})
    console.open(PAGES[name].format(**world))
    assert console.page.evaluate("document.documentElement.scrollWidth") <= 390


def press_until(page, key, described, most=60):
    for _ in range(most):
        page.keyboard.press(key)
        if page.evaluate(f"document.activeElement?.matches({described!r})"):
            return
    raise AssertionError(f"{key} never comes to {described}")


def test_a_topic_is_made_filled_and_read_by_keyboard_alone(console):
    page = console.page
    console.open("/")
    press_until(page, "Tab", "nav a[href='#/topics']")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:text-is('Topics')")
    press_until(page, "Tab", "button.first")
    page.keyboard.press("Enter")
    page.keyboard.type("made-by-hand")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:text-is('made-by-hand')")
    press_until(page, "Tab", "main .actions button.first")
    page.keyboard.press("Enter")
    page.keyboard.type("some-key")
    page.keyboard.press("Tab")
    page.keyboard.type("some value")
    press_until(page, "Tab", "dialog button.first")
    page.keyboard.press("Enter")
    page.wait_for_selector("#notices p:has-text('Stored in partition 0 at offset 0')")
    press_until(page, "Tab", "form button.first")
    page.keyboard.press("Enter")
    page.wait_for_selector("td:text-is('some value')")


def test_skipping_to_the_content_passes_over_the_navigation(console):
    console.open("/topics")
    console.page.keyboard.press("Tab")
    assert console.page.evaluate("document.activeElement.className") == "skip"
    console.page.keyboard.press("Enter")
    assert console.page.evaluate("document.activeElement.id") == "main"
    assert "/topics" in console.page.url


def shown(console):
    return console.page.locator("tbody button[aria-expanded]").all_inner_texts()


def search(console, **fields):
    for label, value in fields.items():
        control = console.page.get_by_label(label, exact=True)
        if label in ("From",):
            control.select_option(value)
        else:
            control.fill(value)
    console.page.get_by_role("button", name="Show").click()
    console.settled()


def test_messages_are_found_by_offset_by_key_and_by_text(console, topic):
    console.broker.http("POST", f"/v1/topics/{topic}/messages", {"messages": [
        {"partition": 1, "key": "blue", "value": "the sky"},
        {"partition": 1, "key": "green", "value": "the grass"}]})
    console.open(f"/topics/{topic}")
    assert len(shown(console)) == 30
    search(console, From="offset", Offset="27")
    assert shown(console) == ["27", "28", "29"]
    search(console, From="oldest", Contains='"number":12')
    assert shown(console) == ["12"]
    search(console, Partition="1", Contains="", Key="green")
    assert shown(console) == ["1"]
    search(console, Key="red")
    assert console.page.locator(".empty").inner_text() == "None of 2 messages fits."


def test_a_message_is_opened_with_its_value_laid_out(console, topic):
    console.open(f"/topics/{topic}")
    console.page.get_by_role("button", name="Offset 3, whole").click()
    assert console.page.locator("pre").inner_text() == '{\n  "number": 3\n}'


def test_what_records_contain_never_becomes_markup(console, topic):
    with console.broker.connect() as connection:
        connection.produce(topic, 2, [b"<img src=x onerror=alert(1)>"])
    console.open(f"/topics/{topic}/messages?partition=2")
    assert console.page.locator("td:has-text('<img src=x')").count() == 1
    assert console.page.locator("main img").count() == 0


def test_topics_are_paged_and_searched(console):
    with console.broker.connect() as connection:
        for number in range(120):
            connection.create_topic(f"many-{number:03}", 1)
    page = console.page
    console.open("/topics")
    page.get_by_label("Search").fill("many-")
    page.get_by_role("link", name="many-000").wait_for()
    assert page.locator("tbody tr").count() == 50
    page.get_by_role("button", name="Next").click()
    page.get_by_role("link", name="many-050").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("link", name="many-119").wait_for()
    assert page.get_by_role("button", name="Next").is_disabled()
    page.get_by_role("button", name="Previous").click()
    page.get_by_role("link", name="many-050").wait_for()


def test_a_setting_of_a_topic_is_changed_and_taken_back(console, topic):
    page = console.page
    console.open(f"/topics/{topic}/settings")
    page.get_by_role("button", name="Change retention.ms").click()
    page.get_by_label("Value").fill("1h")
    page.get_by_role("button", name="Set").click()
    page.locator("tr:has-text('retention.ms') td:text-is('3600000')").wait_for()
    page.get_by_role("button", name="Change retention.ms").click()
    page.get_by_label("Back to the default").check()
    page.get_by_role("button", name="Set").click()
    page.locator("tr:has-text('retention.ms') td:text-is('604800000')").first.wait_for()


def test_a_refusal_is_shown_where_it_was_asked_for(console, topic):
    page = console.page
    console.open(f"/topics/{topic}/settings")
    page.get_by_role("button", name="Change retention.ms").click()
    page.get_by_label("Value").fill("soon")
    page.get_by_role("button", name="Set").click()
    page.locator("dialog .problem:visible").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    # The browser itself tells of an answer that is no success.
    console.complaints.clear()


def test_a_topic_is_deleted_after_a_question(console, topic):
    page = console.page
    console.open(f"/topics/{topic}")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.locator("dialog").get_by_role("button", name="Cancel").click()
    assert page.locator("h1").inner_text() == topic
    page.get_by_role("button", name="Delete", exact=True).click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_selector("h1:text-is('Topics')")
    assert console.broker.http("GET", f"/v1/topics/{topic}")[0] == 404


def test_the_console_says_when_the_broker_is_gone(browser):
    with HttpBroker() as broker:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{broker.admin_port}/")
        page.wait_for_selector("#state.good")
        broker.stop()
    page.wait_for_selector("main .problem:has-text('does not answer')")
    page.close()
