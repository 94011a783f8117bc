"""Makes plot_sans.ts: the printable ASCII of DejaVu Sans 2.37 (Debian: fonts-dejavu-core), for the text of plots.

Usage (with fonttools): python make_font.py /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf
"""
import base64
import io
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

font = TTFont(sys.argv[1])
options = subset.Options(hinting=False, layout_features=["kern"], notdef_outline=True, drop_tables=["FFTM"])
subsetter = subset.Subsetter(options)
subsetter.populate(unicodes=[*range(0x20, 0x7F), 0x2212])  # and the minus sign that axes have
subsetter.subset(font)
for record in font["name"].names:
    if record.nameID in (1, 4, 6):  # family, full name, PostScript name; the copyright stays
        record.string = "PlotSans" if record.nameID == 6 else "Plot Sans"
file = io.BytesIO()
font.save(file)
text = base64.b64encode(file.getvalue()).decode()
Path(__file__).with_name("plot_sans.ts").write_text(
    "/** The font of plots, a part of DejaVu Sans as base64 (see LICENSE here); made by make_font.py. */\n"
    f'export const PLOT_SANS = "{text}";\n'
)
