/* The header as it is installed; the module map names this file, which lies beside it. */
#include <perso_core.h>
