#!/usr/bin/env python3
"""Writes upstream_flags.json beside this file: every flag of every console script of nnU-Net, as its argument parser declares it.

Run with nnunetv2 2.5.1 installed, which starts the file anew, and again with 2.8.1, which adds the flags that are not there:
    python make_upstream_flags.py VERSION
"""
import argparse
import importlib
import importlib.metadata
import json
import os
import re
import sys
import tempfile
from pathlib import Path

for name in ('raw', 'preprocessed', 'results'):
    os.environ['nnUNet_' + name] = tempfile.mkdtemp()
os.environ['nnUNet_def_n_proc'] = '8'

import nnunetv2

FILE = Path(__file__).parent / 'upstream_flags.json'
VERSION = sys.argv[1]


class Captured(BaseException):
    pass


def capture(known):
    def parse(self, args=None, namespace=None):
        raise Captured(self, known)
    return parse


argparse.ArgumentParser.parse_args = capture(False)
argparse.ArgumentParser.parse_known_args = capture(True)


def scripts():
    """Name, module and function of each: of the project file beside a source tree, or of the installed package."""
    project = Path(nnunetv2.__file__).parents[1] / 'pyproject.toml'
    if project.exists():
        return re.findall(r'^(nnUNetv2_\w+) = "([\w.]+):(\w+)"', project.read_text(), re.M)
    points = importlib.metadata.distribution('nnunetv2').entry_points
    return [(one.name, *one.value.split(':')) for one in points if one.group == 'console_scripts']


def flags_of(module, function):
    try:
        getattr(importlib.import_module(module), function)()
    except Captured as captured:
        parser, known = captured.args
        return known, {(one.option_strings or [one.dest])[0]: {
            'names': one.option_strings or [one.dest],
            'values': 'none' if one.nargs == 0 else 'many' if one.nargs == '+' else 'one',
            'required': one.required,
            'type': getattr(one.type, '__name__', 'str'),
            'default': list(one.default) if isinstance(one.default, tuple) else one.default,
            'since': VERSION,
        } for one in parser._actions if one.dest != 'help'}


result = {} if VERSION == '2.5.1' else json.loads(FILE.read_text())
for name, module, function in scripts():
    known, flags = flags_of(module, function)
    there = result.setdefault(name, {'ignoresUnknown': known, 'flags': []})
    names = [one['names'][0] for one in there['flags']]
    there['flags'] += [flag for first, flag in flags.items() if first not in names]
FILE.write_text(json.dumps(result, indent=1) + '\n')
