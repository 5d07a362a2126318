"""The conversation in a browser: streaming, stopping, and everything that may happen to a connection meanwhile."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.fake_service import TOKEN, Answer, FakeService

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def ask(page: Page, service: FakeService, prompt: str = "Why do locks lift boats?") -> Answer:
    """Type a question, send it, and have its answer to speak for. While one is made, Enter sends no other."""
    await expect(page.locator("#stop")).to_be_hidden()
    await page.get_by_label("Your question").fill(prompt)
    await page.keyboard.press("Enter")
    return await service.next_answer()


def text_of(page: Page) -> Locator:
    """The text of the newest answer."""
    return page.get_by_role("group", name="Answer").last.locator(".text")


def note_of(page: Page) -> Locator:
    """What stands beside the newest answer's text."""
    return page.get_by_role("group", name="Answer").last.locator(".note")


async def kept(page: Page) -> str:
    """The newest answer's text as it is kept, character by character."""
    turns = json.loads(await page.evaluate("localStorage.getItem('sluiceway.turns')"))
    return turns[-1]["answer"]["text"]


async def test_text_grows_while_the_answer_is_made(page: Page, service: FakeService) -> None:
    """Every piece shows before the next one is said, and the figures come with the end."""
    answer = await ask(page, service)
    assert answer.question == {"prompt": "Why do locks lift boats?"}
    assert service.tokens == [TOKEN]
    for so_far in ("Water", "Water lifts", "Water lifts them."):
        await answer.say(so_far.removeprefix(answer.text))
        await expect(text_of(page)).to_have_text(so_far)
        await expect(page.get_by_role("button", name="Stop")).to_be_visible()
    await answer.final(tokens=4)
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    figures = page.get_by_role("group", name="Answer").locator(".figures")
    await expect(figures).to_contain_text("to the first token")
    await expect(figures).to_contain_text("4 tokens")


async def test_options_go_with_the_question(page: Page, service: FakeService) -> None:
    """System text, most tokens and temperature are sent where they are given."""
    await page.get_by_text("Options").click()
    await page.get_by_label("System text").fill("Be brief.")
    await page.get_by_label("Most tokens").fill("50")
    await page.get_by_label("Temperature").fill("0.2")
    answer = await ask(page, service)
    expected = {"prompt": "Why do locks lift boats?", "system": "Be brief.", "max_tokens": 50, "temperature": 0.2}
    assert answer.question == expected


async def test_stop_cancels(page: Page, service: FakeService) -> None:
    """The button sends a cancel; the page says so until the service has stopped, and then that it has."""
    answer = await ask(page, service)
    await answer.say("Water lifts")
    await expect(text_of(page)).to_have_text("Water lifts")
    await page.get_by_role("button", name="Stop").click()
    assert (await service.next_message("cancel"))["req"] == answer.req
    await expect(note_of(page)).to_have_text("Stopping…")
    await answer.final("cancelled")
    await expect(note_of(page)).to_have_text("Stopped.")
    await expect(text_of(page)).to_have_text("Water lifts")
    await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_a_cut_connection_is_resumed(page: Page, service: FakeService) -> None:
    """What was said while nobody was connected is there afterwards, to the character."""
    answer = await ask(page, service)
    await answer.say("Wasser 🌊 hebt ")
    await expect(text_of(page)).to_have_text("Wasser 🌊 hebt ")
    service.close_gate()
    service.cut()
    await expect(note_of(page)).to_have_text("Reconnecting…")
    await expect(page.locator("#link")).not_to_have_text("Connected")
    await answer.say("alle Boote, ")
    service.open_gate()
    resume = await service.next_resume(answer)
    assert (resume["off"], resume["try"]) == (len("Wasser 🌊 hebt "), 1)
    await expect(note_of(page)).to_have_text("Resumed at character 14.")
    await answer.say("immer.")
    await answer.final()
    await expect(page.get_by_role("group", name="Answer").locator(".figures")).to_contain_text("1 reconnect")
    assert await kept(page) == answer.text


async def test_a_reload_resumes(page: Page, service: FakeService) -> None:
    """The conversation is still there, and an answer that was not finished goes on."""
    first = await ask(page, service, "First?")
    await first.say("Done at once.")
    await first.final()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    answer = await ask(page, service, "Second?")
    await answer.say("Half of ")
    await expect(text_of(page)).to_have_text("Half of ")
    await page.reload()
    await expect(page.get_by_text("First?")).to_be_visible()
    await expect(page.get_by_text("Done at once.")).to_be_visible()
    resume = await service.next_resume(answer)
    assert resume == {"action": "resume", "req": answer.req, "off": 8, "try": 1}
    await answer.say("the water.")
    await answer.final()
    await expect(text_of(page)).to_have_text("Half of the water.")
    await expect(note_of(page)).to_have_text("Resumed at character 8.")
    await page.reload()
    await expect(text_of(page)).to_have_text("Half of the water.")


async def test_an_unsent_question_is_asked_when_there_is_a_connection(page: Page, service: FakeService) -> None:
    """A question that is typed while the service is away is not lost."""
    service.close_gate()
    service.cut()
    await expect(page.locator("#link")).not_to_have_text("Connected")
    await page.get_by_label("Your question").fill("Still there?")
    await page.keyboard.press("Enter")
    await expect(note_of(page)).to_have_text("Waiting for a connection…")
    service.open_gate()
    answer = await service.next_answer()
    await answer.say("Yes.")
    await answer.final()
    await expect(text_of(page)).to_have_text("Yes.")


async def test_gaps_repeats_resets_and_late_frames_leave_the_text_right(page: Page, service: FakeService) -> None:
    """Whatever the network and the workers do, what is shown is the answer."""
    answer = await ask(page, service)
    await answer.say("The lock ")
    await answer.say_twice("fills, ")
    await expect(text_of(page)).to_have_text("The lock fills, ")
    await page.clock.install()
    await page.clock.fast_forward(3_000)  # past the time that the question itself may take to be attached
    answer.lose("slowly, ")
    await answer.say("and the boat ")
    resume = await service.next_resume(answer)
    assert resume["off"] == len("The lock fills, ")
    await expect(text_of(page)).to_have_text("The lock fills, slowly, and the boat ")
    await answer.reset(len("The lock fills, "))
    await answer.say("while the boat ")
    await answer.say_late("slowly, and the ship sinks", off=len("The lock fills, "))
    await answer.say("rises.")
    await answer.final()
    await expect(text_of(page)).to_have_text("The lock fills, while the boat rises.")
    assert await kept(page) == answer.text


async def test_silence_is_resumed(page: Page, service: FakeService) -> None:
    """After 30 s of nothing the page asks for the rest; a ping in time keeps it calm."""
    await page.clock.install()
    answer = await ask(page, service)
    await answer.say("Wait")
    await expect(text_of(page)).to_have_text("Wait")
    await page.clock.fast_forward(20_000)
    await answer.ping()
    await answer.say(" for")
    await expect(text_of(page)).to_have_text("Wait for")
    await page.clock.fast_forward(29_000)
    assert [message["action"] for message in service.messages] == ["ask"]
    await page.clock.fast_forward(2_000)
    assert (await service.next_resume(answer))["off"] == len("Wait for")


async def test_an_error_is_a_sentence(page: Page, service: FakeService) -> None:
    """What went wrong is said with what to do, and can be asked again."""
    answer = await ask(page, service)
    await answer.fail("context-too-long", "Too long")
    await expect(note_of(page)).to_have_text("The question is longer than the model can read. Shorten it.")
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await page.get_by_role("button", name="Ask again").click()
    again = await service.next_answer()
    assert again.req != answer.req
    assert again.question == answer.question


async def test_a_paused_answer_goes_on_when_asked(page: Page, service: FakeService) -> None:
    """A resumable error waits for a person, keeps the text, and goes on from there."""
    answer = await ask(page, service)
    await answer.say("Half")
    await answer.fail("model-throttled", "Busy", resumable=True)
    await expect(note_of(page)).to_have_text("The model is busy. Try again in a moment.")
    await page.get_by_role("button", name="Go on").click()
    assert (await service.next_resume(answer))["off"] == 4
    await answer.say(" and whole.")
    await answer.final()
    await expect(text_of(page)).to_have_text("Half and whole.")


async def test_a_retract_takes_the_text_away(page: Page, service: FakeService) -> None:
    """A guardrail's word is final: the text is gone from the page and from what is kept."""
    answer = await ask(page, service)
    await answer.say("Fine so far. Not this.")
    await expect(text_of(page)).to_contain_text("Not this.")
    await answer.retract(len("Fine so far. "))
    await expect(text_of(page)).to_have_text("Fine so far. ")
    await answer.fail("content-filtered", "The answer was withheld")
    await expect(note_of(page)).to_contain_text("A guardrail took the text back.")
    assert await kept(page) == "Fine so far. "


async def test_text_is_never_markup(page: Page, service: FakeService) -> None:
    """A model that speaks HTML is quoted, not obeyed; light markdown is shown as what it means."""
    answer = await ask(page, service, "<b>Bold?</b>")
    await answer.say(
        "<img src=x onerror=alert(1)> <script>alert(2)</script>\n\n**firm** `let a = 1`\n\n- one\n- <i>two</i>"
    )
    await answer.final()
    await expect(text_of(page).locator("p").first).to_have_text(
        "<img src=x onerror=alert(1)> <script>alert(2)</script>"
    )
    await expect(text_of(page).locator("strong")).to_have_text("firm")
    await expect(text_of(page).locator("code")).to_have_text("let a = 1")
    await expect(text_of(page).get_by_role("listitem")).to_have_text(["one", "<i>two</i>"])
    assert await text_of(page).locator("img, script, i, a").count() == 0
    await expect(page.get_by_text("<b>Bold?</b>")).to_be_visible()


async def test_a_question_too_long_for_a_frame_can_become_a_job(page: Page, service: FakeService) -> None:
    """What a browser cannot send in one frame of 32 KB is offered as a job, which takes more."""
    prompt = "Why? " * 8_000
    await page.get_by_label("Your question").fill(prompt)
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_role("alert").filter(has_text="KB")).to_contain_text("a question may have 32 KB")
    await page.get_by_role("button", name="Make it a job").click()
    await expect(page.get_by_label("Prompt")).to_have_value(prompt.strip())
    assert service.messages == []


async def test_a_new_conversation_begins_empty(page: Page, service: FakeService) -> None:
    """The old one is gone, also after a reload."""
    answer = await ask(page, service)
    await answer.say("Old.")
    await answer.final()
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("heading", name="Ask something")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Ask something")).to_be_visible()


async def test_the_newest_text_stays_in_sight_unless_one_reads_further_up(page: Page, service: FakeService) -> None:
    """The page follows the text; whoever scrolls up is left there, and offered the way back."""
    answer = await ask(page, service)
    await answer.say("\n\n".join(f"Line {number}" for number in range(60)))
    await expect(page.get_by_text("Line 59")).to_be_in_viewport()
    await page.get_by_role("log", name="Conversation").evaluate("log => log.scrollTo(0, 0)")
    await expect(page.get_by_text("Line 0", exact=True)).to_be_in_viewport()
    await answer.say("\n\nLine 60")
    await expect(page.get_by_role("button", name="Newest")).to_be_visible()
    await expect(page.get_by_text("Line 0", exact=True)).to_be_in_viewport()
    await page.get_by_role("button", name="Newest").click()
    await expect(page.get_by_text("Line 60")).to_be_in_viewport()


async def test_two_windows_keep_their_own_conversations(page: Page, service: FakeService) -> None:
    """A new window begins with the newest conversation; then each keeps its own over a reload."""
    answer = await ask(page, service, "First window?")
    await answer.say("Yes.")
    await answer.final()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    other = await page.context.new_page()
    await other.goto(service.url)
    await expect(other.get_by_text("First window?")).to_be_visible()
    await other.get_by_role("button", name="New conversation").click()
    await (await ask(other, service, "Second window?")).final()
    await expect(other.get_by_role("button", name="Send")).to_be_visible()
    for window, said in ((page, "First window?"), (other, "Second window?")):
        await window.reload()
        await expect(window.get_by_role("group", name="Question")).to_have_text([said])


async def test_a_question_goes_on_with_the_conversation(page: Page, service: FakeService) -> None:
    """A question names the turn before it; where the service has forgotten that, it is asked alone, which is said."""
    first = await ask(page, service, "First?")
    await first.say("One.")
    await first.final()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    second = await ask(page, service, "Second?")
    assert second.question == {"prompt": "Second?", "after": first.req}
    await second.say("Two.")
    await second.final()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    service.answers.clear()
    await page.get_by_label("Your question").fill("Third?")
    await page.keyboard.press("Enter")
    assert (await service.next_message("ask"))["after"] == second.req
    third = await service.next_answer()
    assert third.question == {"prompt": "Third?"}
    await third.say("Three.")
    await third.final()
    await expect(text_of(page)).to_have_text("Three.")
    await expect(note_of(page)).to_contain_text("The service has forgotten the conversation")
    await expect(page.get_by_role("group", name="Question")).to_have_text(["First?", "Second?", "Third?"])
