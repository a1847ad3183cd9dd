"""Links that expire, and uploads that come three ways and do not stay."""

from __future__ import annotations

import base64

import anyio
import pytest

from foxapi_async.emulator.files import StorageFullError, UploadStore
from tests.emulator.client import FOX, IMAGES, emulated, form

STREAM, BASE64, URL = (f"/v1/files/upload/{way}" for way in ("stream", "base64", "url"))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


async def test_a_link_expires_and_another_look_gives_a_fresh_one():
    async with emulated(duration=0, url_lifetime=100) as (_, client):
        done = await client.finished()
        url = done["results"][0]["url"]
        assert (await client.ask("GET", url))[0] == 200
        await anyio.sleep(102)
        assert (await client.ask("GET", url))[0] == 403
        fresh = (await client.poll(done["id"]))["results"][0]["url"]
        assert fresh != url
        assert (await client.ask("GET", fresh))[0] == 200


async def test_a_link_holds_for_its_own_file_only():
    async with emulated(duration=0) as (emulator, client):
        url = await client.picture_url()
        for wrong in (
            url.partition("?")[0],
            url.replace("/0.png", "/1.png"),
            url.replace("expires=1", "expires=2"),
            f"{url}0",
        ):
            assert (await client.ask("GET", wrong))[0] == 403
        assert (await client.ask("HEAD", url))[0] == 200
        lost = "/files/task-nobody/0.png"
        signed = emulator._service.signer.sign(lost, 2**40)
        assert (await client.ask("GET", signed))[0] == 404


async def test_an_upload_by_stream_is_stored_and_served():
    async with emulated() as (emulator, client):
        _, _, stored = await client.ask("POST", STREAM, data=form(PNG, file_name="a ü.png"))
        assert stored["filename"] == "a ü.png"
        assert stored["size"] == len(PNG)
        assert stored["id"].startswith("file-")
        _, headers, content = await client.ask("GET", stored["url"])
        assert (headers["Content-Type"], content) == ("image/png", PNG)
        assert emulator.counters.uploads == 1
        await client.submit(model="phota-image-edit", prompt="brighter", image_urls=[stored["url"]])


@pytest.mark.parametrize(
    ("head", "content", "name", "kind"),
    [
        ("", PNG, "upload.bin", "image/png"),
        ("data:image/webp;base64,", b"RIFF1234WEBP", "upload.webp", "image/webp"),
        ("data:;base64,", b"words", "upload.bin", "application/octet-stream"),
        ("data:image/jpeg;charset=x;base64,", b"\xff\xd8\xff", "upload.jpg", "image/jpeg"),
    ],
)
async def test_an_upload_in_base64_is_named_after_its_type(head, content, name, kind):
    async with emulated() as (_, client):
        data = head + base64.b64encode(content).decode()
        _, _, stored = await client.ask("POST", BASE64, json={"file_data": data})
        assert stored["filename"] == name
        _, headers, served = await client.ask("GET", stored["url"])
        assert (headers["Content-Type"], served) == (kind, content)


async def test_an_upload_by_address_copies_what_the_emulator_has_and_invents_the_rest():
    async with emulated(duration=0) as (_, client):
        url = await client.picture_url()
        _, _, picture = await client.ask("GET", url)
        _, _, stored = await client.ask("POST", URL, json={"url": url, "file_name": "me.png"})
        assert stored["filename"] == "me.png"
        assert (await client.ask("GET", stored["url"]))[2] == picture
        _, _, stored = await client.ask("POST", URL, json={"url": "https://a.example/b/face.png?x"})
        assert stored["filename"] == "face.png"
        assert (await client.ask("GET", stored["url"]))[2].startswith(b"\x89PNG")
        gone = url.partition("?")[0]
        assert (await client.ask("POST", URL, json={"url": gone}))[0] == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (BASE64, {}),
        (BASE64, {"file_data": "***"}),
        (BASE64, {"file_data": "AAAA", "auto_cleanup": "no"}),
        (BASE64, {"file_data": "AAAA", "file_name": ""}),
        (URL, {}),
        (URL, {"url": "ftp://a.example"}),
        (STREAM, {"file": "x"}),
    ],
)
async def test_an_upload_that_makes_no_sense_is_refused(path, body):
    async with emulated() as (emulator, client):
        status, _, answer = await client.ask("POST", path, json=body)
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert emulator.counters.uploads == 0


@pytest.mark.parametrize("parts", [form(None, name="x"), form(PNG, auto_cleanup="False")])
async def test_a_form_without_a_file_or_with_a_wrong_boolean_is_refused(parts):
    async with emulated() as (_, client):
        assert (await client.ask("POST", STREAM, data=parts))[0] == 400
        broken = {"Content-Type": "multipart/form-data"}
        assert (await client.ask("POST", STREAM, data=b"x", headers=broken))[0] == 400


async def test_a_file_above_the_limit_is_refused_in_the_words_of_the_service():
    async with emulated(file_limit=50) as (_, client):
        encoded = {"file_data": base64.b64encode(PNG).decode()}
        for path, options in ((STREAM, {"data": form(PNG)}), (BASE64, {"json": encoded})):
            status, _, body = await client.ask("POST", path, **options)
            assert (status, body["error"]["type"]) == (413, "file_too_large_error")


async def test_the_storage_makes_room_or_refuses():
    async with emulated(storage=250) as (_, client):
        stored = [(await client.ask("POST", STREAM, data=form(PNG)))[2] for _ in range(2)]
        full = form(PNG, auto_cleanup="false")
        status, _, body = await client.ask("POST", STREAM, data=full)
        assert (status, body["error"]["message"]) == (403, "the storage is full")
        assert (await client.ask("POST", STREAM, data=form(PNG, auto_cleanup="true")))[0] == 200
        assert [(await client.ask("GET", each["url"]))[0] for each in stored] == [404, 200]


async def test_an_upload_vanishes_and_cannot_be_used_any_more():
    async with emulated(upload_lifetime=100) as (_, client):
        _, _, stored = await client.ask("POST", STREAM, data=form(PNG))
        await anyio.sleep(101)
        assert (await client.ask("GET", stored["url"]))[0] == 404
        edit = FOX | {"model": "phota-image-edit", "image_urls": [stored["url"]]}
        status, _, body = await client.ask("POST", IMAGES, json=edit)
        assert (status, body["error"]["code"]) == (422, "invalid_image_url")


def test_a_file_larger_than_the_storage_never_fits():
    store = UploadStore(10, 5)
    with pytest.raises(StorageFullError):
        store.add("a", b"123456", "text/plain", now=0, auto_cleanup=True)
