# Constants of the X protocol that the tests use.
AnyPropertyType: int
ButtonPress: int
ButtonRelease: int
CurrentTime: int
IsViewable: int
KeyPress: int
KeyRelease: int
MotionNotify: int
NONE: int
RevertToParent: int
SelectionNotify: int
ZPixmap: int
