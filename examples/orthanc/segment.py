#!/usr/bin/env python3
"""Segments each series that arrives in Orthanc, and stores the DICOM-SEG there: with Python's standard library and Orthanc's REST alone.

    nnunet-serve -m ct=/data/models/ct --state /data/nnunet &
    segment.py --orthanc http://user:password@127.0.0.1:8042 --nnunet http://127.0.0.1:8765 --model ct --state /data/segmented.json

A series is taken when Orthanc says that it is stable (no new image for StableAge seconds, 60 by default), if its modality is one of
--modality and its description matches --description. The segmentation's UIDs follow from the series and the model: a series that is done
twice gives the same object, which Orthanc has already. --state holds the number of the last change of Orthanc that was dealt with, so that
after a restart nothing is done twice and nothing is left out. While Orthanc or the service does not answer, it waits. A series that cannot be
segmented is told on stderr in the service's words, which its metadata in Orthanc (--mark) hold as well, and the next one is taken; so is
one for which there was no room for --wait-for-room seconds. Log lines hold Orthanc's ids, and no names of patients.
Ends: SIGTERM, Ctrl+C, or with --once when all that is there is done (exit status 1 if a series failed).
"""
import argparse
import base64
import http.client
import json
import math
import os
import re
import sys
import time
import urllib.parse
import uuid

PAUSE = 2.0  # seconds between two questions
PATIENCE = 60.0  # seconds, the longest pause while somebody does not answer
TIMEOUT = 300.0  # seconds for one answer
BUSY = (429, 502, 503, 504)  # ask again later
FULL = 507  # the same, for some time


class Refused(Exception):
    """An answer that no repetition changes."""


class Busy(Exception):
    """No answer, or one that says: later."""


class Full(Busy):
    """An answer that says: no room at present."""


class Server:
    def __init__(self, url, token=None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ('http', 'https') or not parts.hostname:
            raise SystemExit(f'{url}: an address is http://HOST:PORT')
        self.name = f'{parts.scheme}://{parts.hostname}:{parts.port or {"http": 80, "https": 443}[parts.scheme]}'
        self._connection = http.client.HTTPSConnection if parts.scheme == 'https' else http.client.HTTPConnection
        self._where = (parts.hostname, parts.port)
        self._path = parts.path.rstrip('/')
        self._headers = {}
        if parts.username is not None:
            pair = ':'.join(urllib.parse.unquote(part or '') for part in (parts.username, parts.password))
            self._headers['Authorization'] = 'Basic ' + base64.b64encode(pair.encode()).decode()
        if token:
            self._headers['Authorization'] = f'Bearer {token}'

    def ask(self, method, path, body=None, headers=None, doing='answering'):
        """Bytes of the answer. `body`: bytes, or an iterator of bytes, which is sent piece by piece."""
        connection = self._connection(*self._where, timeout=TIMEOUT)
        try:
            pieces = body is not None and not isinstance(body, bytes)
            try:
                connection.request(method, self._path + path, body, {**self._headers, **(headers or {})}, encode_chunked=pieces)
            except (BrokenPipeError, ConnectionResetError):
                pass  # who refuses a body does not wait for its end: the answer says why
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Busy(f'{self.name} does not answer: {error}') from error
        finally:
            connection.close()
        if answer.status < 300:
            return data
        text = data.decode('utf-8', 'replace').strip()[:1000]
        told = f'{doing}: {self.name} says {answer.status}: {text}'
        raise (Full if answer.status == FULL else Busy if answer.status in BUSY else Refused)(told)

    def json(self, method, path, *rest, **more):
        return json.loads(self.ask(method, path, *rest, **more))


def patiently(action, wait_for_room=math.inf):
    """What `action` gives; while it is Busy, again and again. Refused where there is no room for so many seconds."""
    pause = PAUSE
    full_since = None
    while True:
        try:
            return action()
        except Busy as error:
            now = time.monotonic()
            full_since = (now if full_since is None else full_since) if isinstance(error, Full) else None
            if full_since is not None and now + pause - full_since > wait_for_room:
                raise Refused(f'{error}; given up, as there was no room for {wait_for_room:.0f} s') from error
            say(f'{error}; again in {pause:.0f} s')
            time.sleep(pause)
            pause = min(2 * pause, PATIENCE)


def say(text):
    print(f'{time.strftime("%Y-%m-%dT%H:%M:%S")} {text}', file=sys.stderr, flush=True)


def parts_of(boundary, fields, instances, orthanc):
    """A multipart body: fields first, then each file as it comes out of Orthanc, one in memory at a time."""
    for name, value in fields.items():
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for number, instance in enumerate(instances):
        yield (f'--{boundary}\r\nContent-Disposition: form-data; name="dicom"; filename="{number}.dcm"\r\n'
               'Content-Type: application/dicom\r\n\r\n').encode()
        yield orthanc.ask('GET', f'/instances/{instance}/file', doing='reading an image')
        yield b'\r\n'
    yield f'--{boundary}--\r\n'.encode()


def send(series, instances, orthanc, nnunet, arguments):
    """The id of the job."""
    boundary = uuid.uuid4().hex
    fields = {'output_format': 'dicom-seg', 'name': series}
    if arguments.model:
        fields['model'] = arguments.model
    if arguments.disable_tta:
        fields['disable_tta'] = 'true'
    body = parts_of(boundary, fields, instances, orthanc)
    headers = {'Content-Type': f'multipart/form-data; boundary={boundary}', 'Transfer-Encoding': 'chunked'}
    return nnunet.json('POST', '/jobs', body, headers, doing='sending the series')['id']


def result_of(job, nnunet):
    """The segmentation as DICOM-SEG."""
    while True:
        state = patiently(lambda: nnunet.json('GET', f'/jobs/{job}', doing='asking for the job'))
        if state['state'] == 'done':
            path = f'/jobs/{job}/result?part=dicom-seg'
            return patiently(lambda: nnunet.ask('GET', path, doing='fetching the segmentation'))
        if state['state'] in ('failed', 'cancelled'):
            raise Refused(state.get('error', {}).get('message') or f'the job was {state["state"]}')
        time.sleep(PAUSE)


def is_wanted(tags, arguments):
    described = re.search(arguments.description, tags.get('SeriesDescription', ''), re.IGNORECASE)
    return tags.get('Modality', '') in arguments.modality and described is not None


def segment(series, orthanc, nnunet, arguments):
    """True if a segmentation was stored, False if the series is not wanted. Refused: told, the next one."""
    try:
        facts = patiently(lambda: orthanc.json('GET', f'/series/{series}', doing='asking for the series'))
    except Refused:
        return False  # removed meanwhile
    if not is_wanted(facts['MainDicomTags'], arguments):
        return False
    say(f'series {series}: {len(facts["Instances"])} images, sent')
    room = arguments.wait_for_room
    job = patiently(lambda: send(series, facts['Instances'], orthanc, nnunet, arguments), room)
    segmentation = result_of(job, nnunet)
    headers = {'Content-Type': 'application/dicom'}
    stored = patiently(lambda: orthanc.json('POST', '/instances', segmentation, headers, doing='storing the segmentation'), room)
    say(f'series {series}: segmented, instance {stored["ID"]} ({stored["Status"]})')
    return True


def mark(series, why, orthanc, arguments):
    """Puts into a series' metadata why it is not segmented; None: takes that away."""
    path = f'/series/{series}/metadata/{arguments.mark}'
    method, body = ('DELETE', None) if why is None else ('PUT', why.encode())
    try:
        patiently(lambda: orthanc.ask(method, path, body, doing='marking the series'), arguments.wait_for_room)
    except Refused as error:
        if why is not None:  # else there was none
            say(f'series {series} is not marked: {error}')


def read_state(path):
    try:
        with open(path) as file:
            return int(json.load(file)['last'])
    except FileNotFoundError:
        return 0


def write_state(path, last):
    with open(f'{path}.partial', 'w') as file:
        json.dump({'last': last}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f'{path}.partial', path)


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--orthanc', default='http://127.0.0.1:8042', help='its address, with user and password if it wants them')
    parser.add_argument('--nnunet', default='http://127.0.0.1:8765', help='the address of nnunet serve')
    parser.add_argument('--token-file', help="the service's token, the first line of a file")
    parser.add_argument('--model', help='a name of its /models')
    parser.add_argument('--disable_tta', action='store_true', help='without mirroring: faster')
    parser.add_argument('--modality', nargs='+', default=['CT', 'MR'])
    parser.add_argument('--description', default='', help='a regular expression for SeriesDescription')
    parser.add_argument('--mark', type=int, default=4711, metavar='NUMBER',
                        help="the user-defined metadata of a series that say why it is not segmented (1024 to 65535)")
    parser.add_argument('--wait-for-room', type=float, default=3600, metavar='SECONDS',
                        help='give a series up when the service, or Orthanc, has had no room for it for so long; 3600 by default')
    parser.add_argument('--state', required=True, help='a file that tells how far it is')
    parser.add_argument('--once', action='store_true', help='end when all that is there is done')
    return parser.parse_args()


def main():
    arguments = arguments_of()
    token = None
    if arguments.token_file:
        with open(arguments.token_file) as file:
            token = file.readline().strip()
    orthanc, nnunet = Server(arguments.orthanc), Server(arguments.nnunet, token)
    last = read_state(arguments.state)
    failed = 0
    while True:
        changes = patiently(lambda: orthanc.json('GET', f'/changes?since={last}&limit=100', doing='asking for changes'))
        for change in changes['Changes']:
            if change['ChangeType'] == 'StableSeries':
                series = change['ID']
                try:
                    if segment(series, orthanc, nnunet, arguments):
                        mark(series, None, orthanc, arguments)
                except Refused as error:
                    failed += 1
                    say(f'series {series} is not segmented: {error}')
                    mark(series, str(error), orthanc, arguments)
            last = change['Seq']
            write_state(arguments.state, last)
        if changes['Done']:
            if arguments.once:
                return 1 if failed else 0
            time.sleep(PAUSE)


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
