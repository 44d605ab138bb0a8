"""Style sheets that all widgets of the dock share, for dark and bright themes."""

SMALL = "font-size: 11px;"

# In napari's own style a tool button looks like a label. The order hover, checked, disabled matters.
BUTTONS = """
QToolButton { padding: 3px 1px; border-radius: 2px; background: rgba(128, 128, 128, 55); }
QToolButton:hover { background: rgba(128, 128, 128, 110); }
QToolButton:checked { background: #2f6f9f; color: white; }
QToolButton:disabled { background: rgba(128, 128, 128, 25); color: rgba(128, 128, 128, 160); }
QToolButton::menu-indicator { image: none; }
"""

# For warnings: dark on amber, because amber letters are hard to read on a bright theme.
AMBER = "background: #ffb454; color: #1b1206; border-radius: 3px; padding: 2px 5px;"

# A link within a label: Qt's own blue cannot be read on a dark theme.
LINK = "background-color: #2f6f9f; color: white; text-decoration: none;"
