"""Pictures of prices and money, on a pyqtgraph scene. Widgets of the GUI thread; they know nothing of the desk."""
