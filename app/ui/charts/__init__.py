"""Pictures of prices and money, on a pyqtgraph scene. GUI thread; only `stop_desk` talks to the desk."""
