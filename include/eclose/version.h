/* The version of these headers; the library's own is eclose_version(). A test compares both with the build's. */
#ifndef ECLOSE_VERSION_H
#define ECLOSE_VERSION_H

#define ECLOSE_VERSION "0.1.0"
#define ECLOSE_VERSION_MAJOR 0
#define ECLOSE_VERSION_MINOR 1
#define ECLOSE_VERSION_PATCH 0

#endif
